"""Entity streams: one append-only stream of events for each entity, with versions, history and snapshots.

Tables that it writes: `snapshots`.
First file to open: `service.py`.
"""

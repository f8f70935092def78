"""Events: emitting, waiting for the runs that an event started, and reading events.

Tables that it writes: `events`.
First file to open: `service.py`.
"""

"""Projections: read models that runners fold from the log, with cursor, lease, rebuild and catch-up waits.

Tables that it writes: `projection_garbage`, `projection_rebuilds`, `projection_states`, `projections`.
First file to open: `service.py`.
"""

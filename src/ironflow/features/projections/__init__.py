"""The projections room: read models that runners fold from the log, with cursor, lease, rebuild and catch-up waits.

The server runs no handler: it feeds events in order, keeps states and cursors, and fences runners.
"""

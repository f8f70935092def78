"""Redaction: payloads of an event, a step or a run are replaced by a marker, for ever.

Tables that it writes: `redactions`.
First file to open: `service.py`.
"""

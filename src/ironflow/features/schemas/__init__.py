"""Schemas: the shape of the data of events, by name and version, and how other data is handled.

Tables that it writes: `event_schemas`.
First file to open: `service.py`.
"""

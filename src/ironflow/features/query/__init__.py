"""Queries: read-only SQL over events, runs and projections.

Tables that it writes: none.
First file to open: `service.py`.
"""

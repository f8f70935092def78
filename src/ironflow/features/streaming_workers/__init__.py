"""Streaming workers: workers on one bidirectional stream instead of polling.

Tables that it writes: none.
First file to open: `service.py`.
"""

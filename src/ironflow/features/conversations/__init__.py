"""Conversations: one WebSocket at `/ws` for each client, with any number of subscriptions.

Tables that it writes: none.
First file to open: `service.py`.
"""

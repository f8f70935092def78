"""Subscriptions: live delivery of events over WebSocket, RPC streams and server-sent events.

Tables that it writes: `system_notices`.
First file to open: `service.py`.
"""

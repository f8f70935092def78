"""Webhook sources: URLs of the server at which other systems deliver what becomes events.

Tables that it writes: `webhook_sources`; deliveries through `webhook_deliveries`.
First file to open: `ingesting.py`.
"""

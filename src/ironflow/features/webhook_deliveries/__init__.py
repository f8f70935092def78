"""Deliveries of webhook sources: every request that was verified or refused, with what became of it.

Tables that it writes: `webhook_deliveries`.
First file to open: `store.py`.
"""

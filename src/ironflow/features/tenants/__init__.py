"""Tenants: an organisation seen with its environments and keys, and made with them at once.

Tables that it writes: none.
First file to open: `service.py`.
"""

"""Requests that the server makes to addresses of users: bounded in time and size, and only to allowed addresses.

Over HTTP/2 to `https://` endpoints that choose it, else over HTTP/1.1. Open `client.py` first.
"""

from ironflow.transports.outbound.client import Outbound

__all__ = ["Outbound"]

"""The watch sockets of buckets and config documents with a stock WebSocket client. Source: protocol/websocket.md 2, 3."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.wire.plain_socket import a_server

BUCKET = "/api/v1/kv/buckets/b"

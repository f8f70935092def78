"""Notices of config documents: `system.config.<name>.updated` and `.deleted`. Source: protocol/connectrpc.md 7."""

from typing import Any

import msgspec

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.base.time import Millis, to_datetime


def updated(environment: str, name: str, text: bytes, revision: int, at: Millis) -> Notice:
    data: dict[str, Any] = {"name": name, "data": msgspec.Raw(text), "revision": revision, "updatedAt": to_datetime(at)}
    return Notice(environment, ("config", name, "updated"), write_json_text(data), at)


def deleted(environment: str, name: str, revision: int, at: Millis) -> Notice:
    data = {"name": name, "revision": revision}
    return Notice(environment, ("config", name, "deleted"), write_json_text(data), at)

"""Notices of secrets: `system.secret.<name>.<created, updated, deleted>`. Source: protocol/connectrpc.md 7."""

from ironflow.base.json import write_json_text
from ironflow.base.notice import Notice
from ironflow.base.time import Millis


def changed(environment: str, name: str, action: str, revision: int, at: Millis) -> Notice:
    data = {"name": name, "action": action, "revision": revision}
    return Notice(environment, ("secret", name, action), write_json_text(data), at)

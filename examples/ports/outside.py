"""The services outside of these programs: banks, mail, printers. A file records what they have done.

Each call is a line of `outside.jsonl` in the folder that the variable OUTSIDE names, or in the working folder. As
services with idempotency keys do, they do the work of a key once: a repeated call is answered and marked `repeated`.

While the folder has a file `ACTION.slow`, such as `bank.withdraw.slow`, that action does its work and gives no answer:
time to kill a worker between an effect and its record. A number in the file is how many calls are answered before that.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from ironflow import current_step


async def call(action: str, /, **data: Any) -> dict[str, Any]:
    """Does `action` once for each step that calls it: the key is the id of the step. Returns `data`."""
    key = f"{current_step().id}:{action}"
    calls = recorded(action)
    repeated = any(each["key"] == key for each in calls)
    with (folder() / "outside.jsonl").open("a") as lines:
        lines.write(json.dumps({"action": action, "key": key, "repeated": repeated, "data": data}) + "\n")
    await _answered(action, len(calls))
    return data


def recorded(action: str) -> list[dict[str, Any]]:
    """The lines of `action`, oldest first: `key`, `repeated`, `data`."""
    path = folder() / "outside.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if line["action"] == action]


def folder() -> Path:
    return Path(os.environ.get("OUTSIDE", "."))


async def _answered(action: str, before: int) -> None:
    slow = folder() / f"{action}.slow"
    while slow.exists() and before >= int(slow.read_text() or 0):  # noqa: ASYNC110 - another process removes it
        await asyncio.sleep(0.02)

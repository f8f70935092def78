"""What the programs of the pages call: functions that record their calls in the file RECORD, and watches that do."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any


def record(name: str, *values: Any) -> None:
    line = json.dumps([name, *values], default=str).encode() + b"\n"
    # One write per line to a file opened for appending: lines of several threads never mix.
    file = os.open(os.environ["RECORD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def recorder(name: str) -> Callable[..., dict[str, str]]:
    """A plain function that records its positional arguments."""

    def call(*values: Any, **_named: Any) -> dict[str, str]:
        record(name, *values)
        return {"id": name}

    return call


def async_recorder(name: str) -> Callable[..., Awaitable[dict[str, str]]]:
    async def call(*values: Any, **_named: Any) -> dict[str, str]:
        record(name, *values)
        return {"id": name}

    return call


def watched(watch: Callable[..., AsyncIterator[Any]], *fields: str) -> Callable[..., AsyncIterator[Any]]:
    """`watch`, which records those fields of each change before it yields it."""

    async def recorded(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
        async for change in watch(*arguments, **named):
            record("change", *(getattr(change, field) for field in fields))
            yield change

    return recorded

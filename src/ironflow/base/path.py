"""Dotted paths into event data: `orderId`, `data.order.id`, `event.data.customerId`, `$.data.x` mean the same values.

Source: protocol/step-semantics.md 5. Compiled once for each path; a number token indexes a list.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

from ironflow.base.json import write_json_text

MISSING: Any = object()


@lru_cache(maxsize=4096)
def compiled_path(path: str) -> Callable[[Any], Any]:
    """A function from an event's data to the value at `path`; MISSING when there is none."""
    rest = path.strip().removeprefix("$.").removeprefix("event.").removeprefix("data.")
    tokens = tuple((token, _index(token)) for token in rest.split(".")) if rest not in ("", "data", "$") else ()

    def value_at(data: Any) -> Any:
        for token, index in tokens:
            if isinstance(data, dict):
                data = cast("dict[str, Any]", data).get(token, MISSING)
            elif isinstance(data, list) and index is not None and index < len(items := cast("list[Any]", data)):
                data = items[index]
            else:
                return MISSING
        return data

    return value_at


def _index(token: str) -> int | None:
    # No list has an index of more digits.
    return int(token) if token.isascii() and token.isdigit() and len(token) < 10 else None


def key_text(value: Any) -> str:
    """A value found at a path as comparable text: scalars without quotes, empty for MISSING and null."""
    if value is MISSING or value is None:
        return ""
    if isinstance(value, str):
        # PostgreSQL keeps no NUL in a text.
        return value.replace("\0", "\ufffd")
    return write_json_text(value)


def value_text(value: Any) -> str:
    """A value as a lookup key: empty for MISSING, which nothing matches, else `=` and its text."""
    return "" if value is MISSING else f"={key_text(value)}"

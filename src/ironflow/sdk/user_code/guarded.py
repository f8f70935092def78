"""Calling small functions of users at once, where nothing can be awaited; what they raise comes back as a value."""

from collections.abc import Callable
from typing import Any


def guarded(fn: Callable[..., Any], *args: Any) -> tuple[Any, Exception | None]:
    """(what `fn` returned, None), or (None, what it raised)."""
    try:
        return fn(*args), None
    except Exception as error:  # noqa: BLE001 - user code may raise anything; the caller names it in its own error
        return None, error

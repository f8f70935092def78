"""What every view is."""

from typing import Any

import msgspec


class View(msgspec.Struct, kw_only=True, frozen=True):
    """Base of the views."""


class Failure(View, kw_only=True, frozen=True):
    """Why a run, a step or an item of a batch failed."""

    message: str
    code: str | None = None
    stack: str | None = None
    retryable: bool = False
    details: Any = None
    retry_after_ms: int | None = None

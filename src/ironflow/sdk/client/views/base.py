"""What every view is."""

from typing import Any

import msgspec


class View(msgspec.Struct, kw_only=True, frozen=True):
    """Base of the views."""


class Failure(View, kw_only=True, frozen=True):
    """Why a run, a step or an item of a batch failed. error_class: the name of the exception's class, where known.

    details: the exception's own.
    """

    message: str
    code: str | None = None
    stack: str | None = None
    retryable: bool = False
    details: Any = None
    retry_after_ms: int | None = None
    error_class: str | None = None

"""Helpers that packages of other languages export, for ported programs: `from ironflow.core import deep_merge`."""

import json
import logging
import os
from collections.abc import Mapping
from typing import Any, TypeGuard
from uuid import uuid4

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import InvalidArgument, is_ironflow_error, is_retryable, to_error

__all__ = [
    "calculate_backoff",
    "create_logger",
    "deep_merge",
    "generate_id",
    "is_ironflow_error",
    "is_object",
    "is_retryable",
    "log_level",
    "noop_logger",
    "parse_duration",
    "safe_json_parse",
    "to_error",
]


_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "silent": logging.CRITICAL + 1,
}


class _Apart(logging.Logger):
    """A logger that `logging` does not know: a program may make several, and its root sees none of their lines."""


def log_level(name: str | None = None) -> int:
    """The level of `logging` for debug, info, warn, error or silent; None reads IRONFLOW_LOG_LEVEL, else info.

    Raises InvalidArgument.
    """
    wanted = os.environ.get("IRONFLOW_LOG_LEVEL") or "info" if name is None else name
    level = _LEVELS.get(wanted.strip().lower())
    if level is None:
        raise InvalidArgument(f"the log level is {wanted[:40]!r}; write debug, info, warn, error or silent.")
    return level


def create_logger(*, prefix: str = "[ironflow]", level: str | None = None) -> logging.Logger:
    """A logger for `logger=` that writes to stderr from a level on, apart from the loggers of `logging`.

    level: as of `log_level`. Raises InvalidArgument.
    """
    made = _Apart("ironflow", log_level(level))
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{prefix.replace('%', '%%')} %(levelname)s %(message)s".strip()))
    made.addHandler(handler)
    return made


def noop_logger() -> logging.Logger:
    """A logger that writes nothing."""
    made = _Apart("ironflow", log_level("silent"))
    made.addHandler(logging.NullHandler())
    return made


def parse_duration(duration: Duration) -> int:
    """Milliseconds of `"30s"`, `"500ms"`, a timedelta, or of a number of seconds. Raises InvalidDuration."""
    return duration_ms(duration)


def calculate_backoff(attempt: int, initial_delay: Duration, max_delay: Duration, multiplier: float = 2) -> float:
    """Seconds before the attempt that follows `attempt`, from 1: the first delay, which grows up to the longest.

    Raises InvalidArgument, InvalidDuration.
    """
    if attempt < 1 or multiplier < 1:
        raise InvalidArgument(f"attempt is {attempt!r} and multiplier {multiplier!r}; both are at least 1.")
    longest_ms = duration_ms(max_delay)
    # Growth ends at the longest delay, before a float would overflow.
    delay_ms: float = duration_ms(initial_delay)
    for _ in range(attempt - 1):
        if delay_ms >= longest_ms or delay_ms == 0:
            break
        delay_ms *= multiplier
        if multiplier == 1:
            break
    return min(delay_ms, longest_ms) / 1000


def generate_id() -> str:
    """A text that is unique."""
    return uuid4().hex


def safe_json_parse(text: str | bytes) -> Any:
    """The value of a JSON text; None for what is no JSON, and for `null`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether `value` is a mapping, as JSON objects are."""
    return isinstance(value, Mapping)


def deep_merge(target: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """A new dict with both: mappings under the same key are merged, other values are those of `source`.

    Neither argument is changed; what is not merged is not copied.
    """
    merged = dict(target)
    for key, value in source.items():
        other = merged.get(key)
        merged[key] = deep_merge(other, value) if is_object(other) and is_object(value) else value
    return merged

"""Helpers that packages of other languages export, for ported programs: `from ironflow.core import deep_merge`."""

import json
from collections.abc import Mapping
from typing import Any, TypeGuard
from uuid import uuid4

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import InvalidArgument, is_ironflow_error, is_retryable, to_error

__all__ = [
    "calculate_backoff",
    "deep_merge",
    "generate_id",
    "is_ironflow_error",
    "is_object",
    "is_retryable",
    "parse_duration",
    "safe_json_parse",
    "to_error",
]


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

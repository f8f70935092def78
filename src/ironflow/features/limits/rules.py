"""What is decided of limits: whether a token bucket gives a token, and who a limit is for."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from ironflow.base.time import DAY_MS, Millis
from ironflow.features.limits.contract import InvalidLimit
from ironflow.features.usage.in_tx import Usage

_SUBJECT = re.compile(r"(key|user|env):(\*|[A-Za-z0-9_.-]{1,128})")


class LimitRow(NamedTuple):
    """burst: tokens that a full bucket holds; 0 for those of one second."""

    subject: str
    requests_per_second: float
    burst: int
    connections: int
    event_bytes_per_day: int = 0
    stored_bytes: int = 0


class Full(NamedTuple):
    """Why an environment takes no more events. which: the name of the limit. until: None where no time ends it."""

    which: str
    limit: int
    until: Millis | None


class Bucket(NamedTuple):
    """tokens: how many there were at `at`."""

    tokens: float
    at: Millis


class Taken(NamedTuple):
    """wait_s: seconds until there is a token; 0 when one was taken."""

    bucket: Bucket
    wait_s: float


def check_subject(subject: str) -> None:
    """Raises InvalidLimit."""
    if not _SUBJECT.fullmatch(subject):
        raise InvalidLimit(
            f"{subject[:60]!r} has no limits: write key:ID, user:ID, env:NAME, or key:*, user:* and env:* for each."
        )


def rows_of(name: str, rows_as: Mapping[str, str]) -> str | None:
    """What the rows of the environment of this name carry; None where only another, renamed one's carry the name.

    rows_as: by name; an environment that was not created is not among them, and carries its name.
    """
    return rows_as.get(name) or (None if name in rows_as.values() else name)


def subject_of_rows(subject: str, rows_as: Mapping[str, str]) -> str | None:
    """The subject with what the rows of an environment carry in place of its name; None where there are none."""
    kind, _, name = subject.partition(":")
    if kind != "env":
        return subject
    rows = rows_of(name, rows_as)
    return None if rows is None else f"env:{rows}"


def check_bytes(limit: LimitRow) -> None:
    """Raises InvalidLimit for bytes of a key or user: its environment has them."""
    if (limit.event_bytes_per_day or limit.stored_bytes) and not limit.subject.startswith("env:"):
        raise InvalidLimit(f"{limit.subject[:60]!r} stores nothing: bytes are limited for env:NAME or env:*.")


def decide_full(limit: LimitRow, used: Usage, now: Millis) -> Full | None:
    """Whether an environment has used up its bytes."""
    if 0 < limit.stored_bytes <= used.stored_bytes:
        return Full("stored_bytes", limit.stored_bytes, None)
    if 0 < limit.event_bytes_per_day <= used.event_bytes_today:
        return Full("event_bytes_per_day", limit.event_bytes_per_day, (now // DAY_MS + 1) * DAY_MS)
    return None


def capacity(limit: LimitRow) -> float:
    """Tokens of a full bucket, at least one."""
    return float(limit.burst) or max(1.0, limit.requests_per_second)


def decide_token(bucket: Bucket | None, limit: LimitRow, now: Millis) -> Taken:
    """Takes one token, or returns when there will be one. A bucket that was not used yet is full."""
    full, rate = capacity(limit), limit.requests_per_second
    if bucket is None:
        bucket = Bucket(full, now)
    # A clock that was set back fills no bucket.
    tokens = min(full, bucket.tokens + max(0, now - bucket.at) * rate / 1000)
    if tokens >= 1:
        return Taken(Bucket(tokens - 1, now), 0.0)
    return Taken(Bucket(tokens, now), (1 - tokens) / rate)

"""What is remembered of endpoints: the breakers of those whose last request failed."""

from ironflow.base.time import Millis
from ironflow.features.endpoints.rules import CLOSED, Breaker
from ironflow.storage.port import Tx

_COLUMNS = "failures, opened, open_until, error, failed_at"
BREAKER = f"SELECT {_COLUMNS} FROM endpoints WHERE environment = :environment AND url = :url"
BREAKERS = f"SELECT url, {_COLUMNS} FROM endpoints WHERE environment = :environment AND url IN {{each:urls}}"
SAVE = """INSERT INTO endpoints (environment, url, failures, opened, open_until, error, failed_at)
VALUES (:environment, :url, :failures, :opened, :open_until, :error, :failed_at)
ON CONFLICT (environment, url) DO UPDATE SET failures = excluded.failures, opened = excluded.opened,
 open_until = excluded.open_until, error = excluded.error, failed_at = excluded.failed_at"""
CLOSE = "DELETE FROM endpoints WHERE environment = :environment AND url = :url"
# A half-open breaker stays in the index: it is looked at again until a trial request has ended.
DUE = "SELECT environment, url FROM endpoints WHERE open_until > :after AND open_until <= :now LIMIT :limit"
NEXT = "SELECT min(open_until) FROM endpoints WHERE open_until > :now"
FORGET = "DELETE FROM endpoints WHERE failed_at <= :oldest AND open_until <= :oldest"
LOCK = "{lock_key}"
COUNT_OPEN = "SELECT count(*) FROM endpoints WHERE open_until > :now"


def lock(tx: Tx, environment: str, url: str) -> None:
    """Until the commit no other node counts the requests or the failures of this endpoint."""
    tx.rows(LOCK, {"lock": f"endpoint/{environment}/{url}"})


def breaker(tx: Tx, environment: str, url: str) -> Breaker:
    row = tx.row(BREAKER, {"environment": environment, "url": url})
    return Breaker(*row) if row else CLOSED


def breakers(tx: Tx, environment: str, urls: list[str]) -> dict[str, Breaker]:
    """By URL; endpoints without failures are left out."""
    rows = tx.rows(BREAKERS, {"environment": environment, "urls": urls}) if urls else []
    return {row[0]: Breaker(*row[1:]) for row in rows}


def save(tx: Tx, environment: str, url: str, breaker: Breaker) -> None:
    tx.run(
        SAVE,
        {
            "environment": environment,
            "url": url,
            "failures": breaker.failures,
            "opened": breaker.opened,
            "open_until": breaker.open_until,
            "error": breaker.error,
            "failed_at": breaker.failed_at,
        },
    )


def close(tx: Tx, environment: str, url: str) -> bool:
    """Whether there was a breaker with failures."""
    return tx.run(CLOSE, {"environment": environment, "url": url}) > 0


def due(tx: Tx, after: Millis, now: Millis, limit: int) -> list[tuple[str, str]]:
    """(environment, URL) of the breakers that became half-open in this time."""
    return [(row[0], row[1]) for row in tx.rows(DUE, {"after": after, "now": now, "limit": limit})]


def next_due(tx: Tx, now: Millis) -> Millis | None:
    row = tx.row(NEXT, {"now": now})
    return row[0] if row else None


def forget(tx: Tx, oldest: Millis) -> int:
    """Deletes the breakers of endpoints that were last called at `oldest` or before."""
    return tx.run(FORGET, {"oldest": oldest})


def count_open(tx: Tx, now: Millis) -> int:
    row = tx.row(COUNT_OPEN, {"now": now})
    return row[0] if row else 0

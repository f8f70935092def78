"""The COMMIT of a transaction of PostgreSQL, and what became of one whose answer to COMMIT was lost.

The id of a transaction comes with its BEGIN. When the connection breaks during the COMMIT, the
database is asked by that id, on another connection. Decision 0040.
"""

import time
from collections.abc import Callable
from typing import Any, Literal

import psycopg
from psycopg.pq import TransactionStatus

from ironflow.storage.port import CommitFailed, OutcomeUnknown, Row
from ironflow.storage.postgres_pipeline import Pipeline

# For how long the database is asked, and how often.
LOOK_UP_S = 5.0
LOOK_UP_EVERY_S = 0.1
CONNECT_S = 2

# After a crash, PostgreSQL gives the ids of transactions that it does not remember to others. It also begins its
# statistics anew then, and says when.
_INCARNATION = b"SELECT pg_postmaster_start_time()::text || ' ' || stats_reset::text FROM pg_stat_bgwriter"
_STATUS = b"SELECT pg_xact_status(%s::xid8)"

Outcome = Literal["committed", "aborted", "unknown"]


class Connection(psycopg.Connection[Row]):
    """A connection of the pool. incarnation: of the PostgreSQL at its other end, since its last start or crash."""

    incarnation: str = ""
    pipeline_of_transactions: Pipeline


def configure(connection: Connection) -> None:
    """Prepares a new connection of the pool."""
    connection.autocommit = True
    connection.incarnation = incarnation_of(connection)
    connection.pipeline_of_transactions = Pipeline(connection, prepares=connection.prepare_threshold is not None)


def incarnation_of(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(_INCARNATION, prepare=False).fetchone()
    return row[0] or "" if row else ""


def commit(connection: Connection, transaction: str, url: str, send: Callable[[], bytes]) -> None:
    """Returns when the transaction is committed, also where its answer was lost.

    send: sends its last statements with the COMMIT, which none of them that fails lets through, and returns its answer.
    Raises what they raise, CommitFailed, OutcomeUnknown, and SerializationFailure or DeadlockDetected, after which it
    can be run again.
    """
    try:
        answer = send()
    except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
        raise
    except psycopg.Error as fault:
        if not connection.closed and connection.info.transaction_status == TransactionStatus.INERROR:
            # Still in the transaction: a statement failed, and the COMMIT after it was not executed.
            raise
        text = " ".join(str(fault).split())
        if not connection.closed:
            raise CommitFailed(f"The database refused the commit: {text}. Nothing was changed; try again.") from fault
        outcome = look_up(url, transaction, connection.incarnation)
        if outcome == "aborted":
            raise CommitFailed(f"The commit failed: {text}. Nothing was changed; try again.") from fault
        if outcome == "unknown":
            raise OutcomeUnknown from fault
        return
    if answer != b"COMMIT":
        raise CommitFailed("A statement of the transaction had failed. Nothing was changed.")


def look_up(url: str, transaction: str, incarnation: str) -> Outcome:
    """What became of a transaction; asks until the database answers that it has ended, for LOOK_UP_S at most."""
    ends_at = time.monotonic() + LOOK_UP_S
    while True:
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_S) as other:
                row: Any = other.execute(_STATUS, (transaction,), prepare=False).fetchone()
                same = incarnation_of(other) == incarnation
        except psycopg.Error:
            row = None
        else:
            if row[0] == "aborted":
                return "aborted"
            if row[0] == "committed":
                # Of another incarnation, it may be another transaction with the same id.
                return "committed" if same else "unknown"
            if row[0] is None:
                return "unknown"
        if time.monotonic() >= ends_at:
            return "unknown"
        # On a thread of the database.
        time.sleep(LOOK_UP_EVERY_S)

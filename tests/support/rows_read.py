"""What the statements of a request read, as the database counts it: a request that costs the same reads the same.

with reads_of(server.db) as reads:
    await take(server, job)
assert reads.most < FEW
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import apsw

# What one statement by an index stays below, in rows and in opcodes: a lookup of one row runs a few dozen.
FEW = 1_000
_METHODS = ("write", "write_many", "read", "peek")


@dataclass
class Reads:
    """statements: those that ask for rows. work: rows that they read on PostgreSQL, opcodes that they run on SQLite."""

    statements: int = 0
    work: int = 0
    each: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    @property
    def most(self) -> int:
        """The work of the statement that does the most."""
        return max(work for work, _ in self.each)

    def add(self, work: int, sql: str) -> None:
        self.work += work
        self.each.append((work, " ".join(sql.split())))


class _Counting:
    """A transaction whose statements that ask for rows are counted."""

    def __init__(self, tx: Any, reads: Reads) -> None:
        self._tx, self._reads = tx, reads
        connection = getattr(tx, "_connection", None)
        self._sqlite = connection if isinstance(connection, apsw.Connection) else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def rows(self, sql: str, params: Any = None) -> Any:
        return self._counted(sql, params, self._tx.rows)

    def row(self, sql: str, params: Any = None) -> Any:
        found = self._counted(sql, params, self._tx.rows)
        return found[0] if found else None

    def batch(self, queries: Sequence[tuple[str, Any]]) -> Any:
        return [self.rows(sql, params) for sql, params in queries]

    def _counted(self, sql: str, params: Any, ask: Callable[..., Any]) -> Any:
        self._reads.statements += 1
        if self._sqlite is not None:
            # The counters of the statement, once it has given all its rows.
            self._sqlite.trace_v2(
                apsw.SQLITE_TRACE_PROFILE,
                lambda event: self._reads.add(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"], event["sql"]),
            )
            try:
                return ask(sql, params)
            finally:
                self._sqlite.trace_v2(0, None)
        if sql.lstrip().upper().startswith(("SELECT", "WITH")):
            ((plan,),) = self._tx.rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
            self._reads.add(_rows(plan[0]["Plan"]), sql)
        return ask(sql, params)


def _rows(plan: dict[str, Any]) -> int:
    """The rows that a plan's scans have read, those that they left out included."""
    inner = sum(_rows(each) for each in plan.get("Plans", ()))
    if "Scan" not in plan["Node Type"]:
        return inner
    left_out = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    return inner + round((plan["Actual Rows"] + left_out) * plan["Actual Loops"])


@contextmanager
def reads_of(db: Any) -> Iterator[Reads]:
    """Counts what the transactions of this node's database read meanwhile."""
    reads = Reads()

    def counting(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(fn: Callable[..., Any], *items: Any) -> Any:
            return method(lambda tx, *given: fn(_Counting(tx, reads), *given), *items)

        return call

    for name in _METHODS:
        setattr(db, name, counting(getattr(db, name)))
    try:
        yield reads
    finally:
        for name in _METHODS:
            delattr(db, name)

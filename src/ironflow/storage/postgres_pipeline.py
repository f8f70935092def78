"""Statements that go to PostgreSQL together: one round trip for all of them and their results.

They go by the driver's lower layer: its cursors take five times as long, more than PostgreSQL itself for most of them.
Decision 0098.
"""

import re
import select
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq.abc import PGresult

from ironflow.storage.port import Row

# A statement is prepared when a connection has run it this often.
PREPARE_AFTER = 2
# More are not prepared: those of a server are fewer, each with a few types of parameters.
PREPARED_MAX = 2_000
# Planned for its values each time. PostgreSQL would keep one plan for ranges of all sizes and for names of all
# frequencies, and walk along the log for a rare one.
_DEPENDS_ON_VALUES = re.compile(rb"\bLIMIT\b|\bBETWEEN\b|[<>]=? ?\$")
_BYTEA, _INT8, _INT4 = 17, 20, 23
_INT8_MAX, _INT4_MAX = 2**63, 2**31
_OK = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
# A prepared statement whose columns have other types since then, and one that the session does not have.
_OUTDATED = (b"0A000", b"26000")

# A statement, with its parameters as $1, $2 …, and their values.
Statement = tuple[bytes, Sequence[Any]]
_Types = tuple[int, ...]


class Ready(NamedTuple):
    """A statement as it is sent. formats: None where all values are texts."""

    text: bytes
    values: list[bytes | None]
    types: _Types
    formats: list[int] | None


class Pipeline:
    """Runs statements on one connection, one call at a time. prepares: whether they may be prepared.

    The types of the values are those that the driver would send, but a small int is an integer: a statement is prepared
    for each types of its parameters.
    """

    def __init__(self, connection: psycopg.Connection[Any], *, prepares: bool) -> None:
        self._pgconn = connection.pgconn
        self._adapting = Transformer(connection)
        self._encoding = connection.info.encoding
        self._prepares = prepares
        self._names: dict[tuple[bytes, _Types], bytes] = {}
        self._runs: Counter[tuple[bytes, _Types]] = Counter()
        self._number = 0
        self._readable, self._both = select.poll(), select.poll()
        self._readable.register(self._pgconn.socket, select.POLLIN)
        self._both.register(self._pgconn.socket, select.POLLIN | select.POLLOUT)

    def ready(self, statements: Sequence[Statement]) -> list[Ready]:
        """The statements as they are sent. Raises DataError for a value that PostgreSQL cannot have."""
        return [self._dumped(text, values) for text, values in statements]

    def run(self, statements: Sequence[Statement]) -> list[PGresult]:
        """The result of each. Where one fails, those after it are not executed, and its error is raised."""
        return self.send(self.ready(statements))

    def send(self, ready: Sequence[Ready]) -> list[PGresult]:
        """As `run`, of statements that are ready."""
        pgconn = self._pgconn
        prepared: dict[tuple[bytes, _Types], bytes] = {}
        try:
            pgconn.enter_pipeline_mode()
            is_preparing = [self._send(each, prepared) for each in ready]
            pgconn.pipeline_sync()
            self._flush()
            results: list[PGresult] = []
            failed: PGresult | None = None
            preparing = iter(prepared)
            for prepares in is_preparing:
                came = [self._received() for _ in range(prepares + 1)]
                if prepares and (key := next(preparing)) and came[0].status in _OK:
                    # It stays prepared, also when the transaction is rolled back.
                    self._names[key] = prepared[key]
                failed = failed or next((result for result in came if result.status not in _OK), None)
                results.append(came[-1])
            self._received(ends=False)
            pgconn.exit_pipeline_mode()
        except BaseException:
            # Nothing is known of what was sent.
            pgconn.finish()
            raise
        if failed is not None:
            if failed.error_field(pq.DiagnosticField.SQLSTATE) in _OUTDATED:
                # All are prepared anew: the table of one is that of others.
                self._names.clear()
            raise error_from_result(failed, encoding=self._encoding)
        return results

    def rows(self, result: PGresult) -> list[Row]:
        count = result.ntuples
        if not count:
            return []
        self._adapting.set_pgresult(result)
        return self._adapting.load_rows(0, count, tuple)

    def _send(self, each: Ready, prepared: dict[tuple[bytes, _Types], bytes]) -> bool:
        """Whether it is prepared with it. prepared: what this pipeline has prepared; here it is added."""
        pgconn = self._pgconn
        key = each.text, each.types
        name = self._names.get(key) or prepared.get(key)
        if name is not None:
            pgconn.send_query_prepared(name, each.values, each.formats)
            return False
        if not self._is_prepared_now(key):
            pgconn.send_query_params(each.text, each.values, each.types, each.formats)
            return False
        self._number += 1
        name = prepared[key] = b"s%d" % self._number
        pgconn.send_prepare(name, each.text, each.types)
        pgconn.send_query_prepared(name, each.values, each.formats)
        return True

    def _is_prepared_now(self, key: tuple[bytes, _Types]) -> bool:
        if not self._prepares or len(self._names) >= PREPARED_MAX:
            return False
        if len(self._runs) > PREPARED_MAX:
            self._runs.clear()
        self._runs[key] += 1
        if self._runs[key] <= PREPARE_AFTER or _DEPENDS_ON_VALUES.search(key[0]):
            return False
        del self._runs[key]
        return True

    def _flush(self) -> None:
        pgconn = self._pgconn
        while pgconn.flush():
            # PostgreSQL reads on only when its answers are read.
            for _, event in self._both.poll():
                if event & ~select.POLLOUT:
                    pgconn.consume_input()

    def _received(self, *, ends: bool = True) -> PGresult:
        """The next result. ends: whether an end of results comes after it."""
        pgconn = self._pgconn
        while pgconn.is_busy():
            self._readable.poll()
            pgconn.consume_input()
        result = pgconn.get_result()
        assert result is not None
        if ends:
            while pgconn.is_busy():
                self._readable.poll()
                pgconn.consume_input()
            pgconn.get_result()
        return result

    def _dumped(self, text: bytes, values: Sequence[Any]) -> Ready:
        """Raises DataError for a value that PostgreSQL cannot have."""
        dumped: list[bytes | None] = []
        types: list[int] = []
        formats: list[int] | None = None
        for value in values:
            kind = type(value)
            if kind is str:
                if "\0" in value:
                    raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
                dumped.append(value.encode())
                types.append(0)
            elif value is None:
                dumped.append(None)
                types.append(0)
            elif kind is int and -_INT8_MAX <= value < _INT8_MAX:
                dumped.append(b"%d" % value)
                types.append(_INT4 if -_INT4_MAX <= value < _INT4_MAX else _INT8)
            elif kind is bytes:
                formats = formats or [0] * len(values)
                formats[len(dumped)] = 1
                dumped.append(value)
                types.append(_BYTEA)
            else:
                (given,) = self._adapting.dump_sequence([value], [PyFormat.TEXT])
                dumped.append(given if given is None else bytes(given))
                types.append((self._adapting.types or (0,))[0])
        return Ready(text, dumped, tuple(types), formats)

"""What a query of users answers: its rows as JSON, with their types."""

import contextlib
from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from ironflow.base.json import write_json
from ironflow.storage.sandbox import Answer, QueryTooLarge, Question

INT53 = 2**53 - 1


def answer_to(connection: apsw.Connection, sql: str, question: Question) -> Answer:
    """Rows up to the question's limits. Raises QueryTooLarge when not even one fits, and apsw.Error."""
    cursor = connection.execute(sql)
    try:
        described = cursor.get_description()
    except apsw.ExecutionCompleteError:
        # No rows: SQLite describes the columns only while there is a row.
        described = _described(connection, sql)
    answer = Answer([each[0] for each in described], [_type_name(each[1]) for each in described])
    size = 0
    for row in cursor:
        if len(answer.rows) == question.rows_max:
            answer.truncated = True
            break
        cells = [_cell(value, kind) for value, kind in zip(row, answer.types, strict=True)]
        size += sum(len(bytes(cell)) for cell in cells)
        if size > question.bytes_max:
            if not answer.rows:
                raise QueryTooLarge(f"The first row is larger than the {question.bytes_max} bytes of an answer.")
            answer.truncated = True
            break
        answer.rows.append(cells)
    cursor.close()
    answer.types = [kind or _seen_type(answer.rows, place) for place, kind in enumerate(answer.types)]
    return answer


def _described(connection: apsw.Connection, sql: str) -> Sequence[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []

    def trace(cursor: apsw.Cursor, _sql: str, _bindings: Any) -> bool:
        found.extend((each[0], each[1]) for each in cursor.get_description())
        return False

    cursor = connection.cursor()
    cursor.exec_trace = trace
    with contextlib.suppress(apsw.ExecTraceAbort):
        cursor.execute(sql)
    return found


def _type_name(declared: str | None) -> str:
    return declared.lower() if declared else ""


def _seen_type(rows: list[list[Any]], place: int) -> str:
    """The type of a column that is not a table's, from its first value."""
    for row in rows:
        first = bytes(row[place])[:1]
        if first != b"n":
            return "text" if first == b'"' else "real" if set(bytes(row[place])) & set(b".eE") else "integer"
    return "text"


def _cell(value: Any, kind: str) -> msgspec.Raw:
    """A value as JSON, by its column's declared type: exact decimals and integers above 53 bits are texts."""
    if isinstance(value, bytes):
        value = f"\\x{value.hex()}"
    elif isinstance(value, int) and kind.startswith("bool") and value in (0, 1):
        value = bool(value)
    elif (isinstance(value, (int, float)) and kind.startswith(("decimal", "numeric"))) or (
        isinstance(value, int) and abs(value) > INT53
    ):
        value = str(value)
    elif isinstance(value, str) and kind.startswith("json"):
        with contextlib.suppress(msgspec.DecodeError):
            msgspec.json.decode(value)
            return msgspec.Raw(value.encode())
    return msgspec.Raw(write_json(value))

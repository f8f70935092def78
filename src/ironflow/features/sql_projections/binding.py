"""From an event to the values that a statement is given; typed as they are in its JSON."""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from ironflow.base.path import MISSING, compiled_path
from ironflow.base.sqltext import DialectName
from ironflow.base.time import to_datetime
from ironflow.log.record import Record

INT64 = 2**63
# PostgreSQL is given decimals as they are written; SQLite has none.
_DECODERS = {
    "sqlite": msgspec.json.Decoder().decode,
    "postgres": msgspec.json.Decoder(float_hook=Decimal).decode,
}
_encode = msgspec.json.Encoder(decimal_format="number").encode


def values_of(params: tuple[str, ...], record: Record, dialect: DialectName) -> dict[str, Any]:
    """The values of a statement's parameters `p0`, `p1`, …

    What is not there is NULL. Objects and lists are JSON texts, a number of more than 64 bits is a text on SQLite.
    """
    data: Any = MISSING
    metadata: Any = MISSING
    values: dict[str, Any] = {}
    for number, name in enumerate(params):
        first, _, _ = name.partition(".")
        if name == first:
            value = _FIELDS[name](record)
        elif first == "metadata":
            if metadata is MISSING:
                metadata = _DECODERS[dialect](record.metadata or "null")
            value = _at(name.removeprefix("metadata."))(metadata)
        else:
            if data is MISSING:
                data = _DECODERS[dialect](record.data)
            value = _at(name.removeprefix("event.").removeprefix("data."))(data)
        values[f"p{number}"] = _bound(value, dialect)
    return values


@lru_cache(maxsize=4096)
def _at(path: str) -> Callable[[Any], Any]:
    # A path of the grammar takes off `data.` once more; here it is a field of that name in the data.
    return compiled_path(f"data.{path}")


def _bound(value: Any, dialect: DialectName) -> Any:
    if value is MISSING or value is None:
        return None
    if isinstance(value, str):
        # PostgreSQL keeps no NUL in a text.
        return value.replace("\0", "\ufffd") if "\0" in value else value
    if isinstance(value, (dict, list)):
        return _encode(value).decode().replace("\\u0000", "\ufffd")
    if isinstance(value, int) and not -INT64 <= value < INT64:
        return str(value) if dialect == "sqlite" else Decimal(value)
    return value


def _time_text(record: Record) -> str:
    return to_datetime(record.created_at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_FIELDS: dict[str, Callable[[Record], Any]] = {
    "data": lambda record: record.data,
    "metadata": lambda record: record.metadata,
    "event_id": lambda record: record.id,
    "event_name": lambda record: record.name,
    "event_version": lambda record: record.version,
    "seq": lambda record: record.position,
    "timestamp": _time_text,
    "timestamp_ms": lambda record: record.created_at,
    "source": lambda record: record.source,
    "namespace": lambda record: record.namespace,
    "environment": lambda record: record.environment,
    "run_id": lambda record: record.run_id,
    "entity_type": lambda record: record.entity_type,
    "entity_id": lambda record: record.entity_id,
    "entity_version": lambda record: record.entity_version,
}

"""Lists of messages that our own workers send often, decoded in one step where they are spelled as declared.

The reader of `base/spelling.py` looks at every field by itself: it takes any spelling, lenient values and nulls, and
says which field is wrong. For a report of a step that is 14 us, most of what a report costs before it is decided. A
decoder of msgspec, which takes exactly what is declared, needs 1 us; what it refuses goes to the reader, so that both
accept the same and every error comes from one place.
"""

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from ironflow.base.fields import bare_type, fields_of, is_optional
from ironflow.base.json import DEPTH_MAX

_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
# Raised for what the reader has to look at.
_REFUSALS = (msgspec.MsgspecError, ValueError, RecursionError)
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
# U+0000, which no database keeps, and digits, which may hide a time that the reader has to look at.
_ESCAPED = re.compile(rb"\\u00[0-3]")
# The decoder rounds it to the next microsecond, which may be in the next millisecond; the reader cuts it off.
_NANOSECONDS = re.compile(rb"\.\d{7,}[Zz+-]")


def exact_list_reader(
    message: type[msgspec.Struct], read: Callable[[msgspec.Raw], Any]
) -> Callable[[msgspec.Raw], list[Any]]:
    """Reads a list of messages. read: the reader of one that is not spelled as declared; raises what it raises.

    Raises TypeError for a message with a field that only the reader understands.
    """
    exact = _exact(message)
    decode_all, decode_one = msgspec.json.Decoder(list[exact]).decode, msgspec.json.Decoder(exact).decode
    # The decoder of the message passes over payloads; these read them, and pass over all else.
    payloads = _payloads(message)
    check_all, check_one = msgspec.json.Decoder(list[payloads]).decode, msgspec.json.Decoder(payloads).decode

    def read_all(text: msgspec.Raw) -> list[Any]:
        # A copy lets the body be freed.
        whole = bytes(text)
        try:
            _check(whole)
            check_all(whole)
            found = decode_all(whole)
            if _is_shallow(whole, len(found)):
                return found
        except _REFUSALS:
            pass
        # What is spelled otherwise is one of them, or few.
        return [read_one(each) for each in _items(whole)]

    def read_one(text: msgspec.Raw) -> Any:
        whole = bytes(text)
        try:
            _check(whole)
            check_one(whole)
            if _brackets(whole) <= DEPTH_MAX:
                return decode_one(whole)
        except _REFUSALS:
            pass
        return read(text)

    return read_all


def _check(whole: bytes) -> None:
    """Raises ValueError for what the decoder takes otherwise than the reader."""
    # Values that are unset, and times that lie outside of the calendar in UTC. Users' data may have them too, and takes
    # the longer way. `find`, because `in` first tries to take the bytes for a number: five times as long.
    find = whole.find
    if find(b"null") >= 0 or find(b'"0001-') >= 0 or find(b'"9999-') >= 0 or _NANOSECONDS.search(whole):
        raise ValueError("values that the reader has to look at")
    if find(b"\\") >= 0 and _ESCAPED.search(whole):
        raise ValueError("characters that the reader has to look at")


def _is_shallow(whole: bytes, count: int) -> bool:
    """Whether no payload in a list of so many messages is nested too deeply."""
    # The list and the messages are no payload. Looked at by themselves, they take twice as long.
    return _brackets(whole) <= DEPTH_MAX + count + 1 or all(
        _brackets(bytes(each)) <= DEPTH_MAX + 1 for each in _items(whole)
    )


def _brackets(whole: bytes) -> int:
    """At least how deep it is nested."""
    return whole.count(b"[") + whole.count(b"{")


@cache
def _exact(message: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The message as it is decoded: no other fields, no lenient values, texts of whole numbers excluded."""
    hints = get_type_hints(message, include_extras=True)
    names: dict[str, str] = {}
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    declared = fields_of(message)
    for field in msgspec.structs.fields(message):
        name = field.name
        if declared[name].mask or declared[name].json_text or declared[name].read_later:
            raise TypeError(f"{message.__name__}.{name} is read by its reader only")
        # Our workers send the other name where there is one.
        names[name] = declared[name].also[0] if declared[name].also else name
        hint = _hint(hints[name])
        if field.default_factory is not msgspec.NODEFAULT:
            fields.append((name, hint, msgspec.field(default_factory=field.default_factory)))
        elif field.default is not msgspec.NODEFAULT:
            fields.append((name, hint, field.default))
        else:
            fields.append((name, hint))
    return msgspec.defstruct(
        message.__name__, fields, bases=(message,), rename=names, kw_only=True, forbid_unknown_fields=True
    )


@cache
def _payloads(message: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The message with its payloads alone, as values: what decodes into it has valid ones."""
    fields: list[tuple[str, Any, Any]] = []
    declared = fields_of(message)
    names = {name: field.also[0] for name, field in declared.items() if field.also}
    for name, hint in get_type_hints(message, include_extras=True).items():
        kind, item = bare_type(hint), bare_type(next(iter(get_args(bare_type(hint))), None))
        if kind is msgspec.Raw:
            fields.append((name, Any, None))
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            fields.append((name, _payloads(kind) | None, None))
        elif isinstance(item, type) and issubclass(item, msgspec.Struct):
            fields.append((name, list[_payloads(item)], ()))
    return msgspec.defstruct(f"PayloadsOf{message.__name__}", fields, rename=names)


def _hint(hint: Any) -> Any:
    """The type of a field as it is decoded. Raises TypeError for one that only the reader understands."""
    kind = bare_type(hint)
    if kind is msgspec.Raw:
        # Without None, which msgspec does not take beside it; null goes to the reader.
        return msgspec.Raw
    decoded = _kind(kind, hint)
    return decoded | None if is_optional(hint) else decoded


def _kind(kind: Any, hint: Any) -> Any:
    if kind is int:
        return Annotated[int, _within_64_bits(hint)]
    if any(meta != msgspec.Meta(extra=meta.extra) for meta in _metas(hint)):
        raise TypeError(f"the limits of {hint} are checked by its reader only")
    if kind in (str, bool, float):
        return kind
    if kind is datetime:
        # One without an offset is in UTC, which the reader knows.
        return Annotated[datetime, msgspec.Meta(tz=True)]
    if get_origin(kind) is list:
        return list[_hint(get_args(kind)[0])]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _exact(kind)
    raise TypeError(f"{hint} is read by its reader only")


def _within_64_bits(hint: Any) -> msgspec.Meta:
    """The limits of a whole number as it is declared, and those of the databases."""
    least, most = [_INT_MIN], [_INT_MAX]
    for meta in _metas(hint):
        least += [limit + more for limit, more in ((meta.ge, 0), (meta.gt, 1)) if limit is not None]
        most += [limit - less for limit, less in ((meta.le, 0), (meta.lt, 1)) if limit is not None]
    return msgspec.Meta(ge=max(least), le=min(most))


def _metas(hint: Any) -> list[msgspec.Meta]:
    """The annotations of a type, also of one that may be None."""
    metas = [meta for each in (hint, *get_args(hint)) for meta in getattr(each, "__metadata__", ())]
    return [meta for meta in metas if isinstance(meta, msgspec.Meta)]

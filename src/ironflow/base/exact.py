"""Messages that our own workers send often, decoded in one step where they are spelled as declared.

The reader of `base/spelling.py` looks at every field by itself: it takes any spelling, lenient values and nulls, and
says which field is wrong. For a report of a step that is 14 us, most of what a report costs before it is decided. A
decoder of msgspec, which takes exactly what is declared, needs 2 us; what it refuses goes to the reader, so that both
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

_anything = msgspec.json.Decoder().decode
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
# U+0000, which no database keeps, and digits, which may hide a time that the reader has to look at.
_ESCAPED = re.compile(rb"\\u00[0-3]")
# The decoder rounds it to the next microsecond, which may be in the next millisecond; the reader cuts it off.
_NANOSECONDS = re.compile(rb"\.\d{7,}[Zz+-]")


def exact_reader(message: type[msgspec.Struct], read: Callable[[msgspec.Raw], Any]) -> Callable[[msgspec.Raw], Any]:
    """Reads one message. read: the reader for what is not spelled as declared; raises what it raises.

    Raises TypeError for a message with a field that only the reader understands.
    """
    decode = msgspec.json.Decoder(_exact(message)).decode

    def read_exactly(text: msgspec.Raw) -> Any:
        # A copy lets the body be freed.
        whole = bytes(text)
        if b"null" in whole or b'"0001-' in whole or b'"9999-' in whole or _ESCAPED.search(whole):
            # Values that are unset, and times that lie outside of the calendar in UTC. Users' data may have them too,
            # and takes the longer way.
            return read(text)
        if _NANOSECONDS.search(whole) or whole.count(b"[") + whole.count(b"{") > DEPTH_MAX:
            return read(text)
        try:
            # All of it is valid, and so is each payload in it, which the decoder of the message passes over.
            _anything(whole)
            return decode(whole)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return read(text)

    return read_exactly


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

"""Reads messages with either key spelling, and writes them with the one of the wire.

A reader is compiled once for each message. It decodes a body into raw slices by key, finds each field under any of
its spellings and decodes only that slice, so users' payloads are never touched.
Source: protocol/connectrpc.md 2, protocol/rest.md 1.3.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any, cast, get_args, get_origin, get_type_hints

import msgspec

from ironflow.base.duration import duration_ms
from ironflow.base.errors import InvalidArgument
from ironflow.base.exact import exact_list_reader
from ironflow.base.fields import Field, WireEnum, bare_type, fields_of, is_optional
from ironflow.base.json import NULL, InvalidJson, check_payload, json_fault
from ironflow.base.operation import Spelling, Twins
from ironflow.base.time import parse_datetime

Raw = msgspec.Raw
_slices = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode
_items = msgspec.json.Decoder(list[Raw]).decode
_anything = msgspec.json.Decoder().decode
_decode_str = msgspec.json.Decoder(str).decode
_NO_NULL = "a text cannot hold the character U+0000"


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


class BadField(InvalidArgument):
    """A field has the wrong type or an impossible value."""

    code = "VALIDATION_ERROR"


Read = Callable[[Raw], Any]
FromText = Callable[[str], Any]


class Reader:
    """Reads one kind of message from JSON bytes and from texts (path, query and headers)."""

    def __init__(self, message: type[msgspec.Struct]) -> None:
        self.message = message
        hints = get_type_hints(message, include_extras=True)
        self._names: dict[str, str] = {}
        self._read: dict[str, Read] = {}
        self._from_text: dict[str, FromText] = {}
        for name, declared in fields_of(message).items():
            for spelled in _spellings(name, declared):
                self._names[spelled] = name
            self._read[name] = _reader_of(hints[name], declared)
            self._from_text[name] = _reading_text(hints[name])
        # Only a payload that is always there may be null; elsewhere null means unset.
        self._nullable = {
            name for name, read in self._read.items() if read is _payload and not is_optional(hints[name])
        }
        self._required = [
            name
            for name, default, factory in _defaults(message)
            if default is msgspec.NODEFAULT and factory is msgspec.NODEFAULT
        ]

    def fields_from(self, body: bytes | Raw) -> dict[str, Any]:
        """Field values found in a JSON object; unknown keys and nulls are passed over.

        Raises InvalidJson for what is not an object of valid JSON, BadField naming the field otherwise.
        """
        values: dict[str, Any] = {}
        names, read, nullable = self._names, self._read, self._nullable
        for key, text in slices_of(body).items():
            name = names.get(key)
            if name is None or (text == NULL and name not in nullable):
                continue
            try:
                value = read[name](text)
            except msgspec.ValidationError as fault:
                raise BadField(f"field {key!r}: {fault}") from None
            except (msgspec.MsgspecError, ValueError, UnicodeDecodeError, RecursionError) as fault:
                raise BadField(f"field {key!r}: {json_fault(text, fault)}") from None
            # An enum's unset forms mean what leaving the field out means.
            if value is not None:
                values[name] = value
        return values

    def field_from_text(self, name: str, text: str) -> tuple[str, Any] | None:
        """A field from a path segment, query parameter or header: (attribute, value); None when unknown or unset."""
        attribute = self._names.get(name)
        if attribute is None:
            return None
        try:
            value = self._from_text[attribute](text)
        except (msgspec.MsgspecError, ValueError) as fault:
            raise BadField(f"{name!r}: {fault}") from None
        return None if value is None else (attribute, value)

    def knows(self, name: str) -> bool:
        return name in self._names

    def build(self, values: dict[str, Any]) -> msgspec.Struct:
        """The message. Raises BadField naming a required field that is missing."""
        try:
            return self.message(**values)
        except TypeError:
            for name in self._required:
                if name not in values:
                    raise BadField(f"field {name!r} is missing from the request") from None
            raise

    def read(self, body: bytes | Raw) -> Any:
        return self.build(self.fields_from(body))


@cache
def reader(message: type[msgspec.Struct]) -> Reader:
    return Reader(message)


def slices_of(body: bytes | Raw) -> dict[str, Raw]:
    """A JSON object's members, undecoded. An empty body is an empty object."""
    if not body:
        return {}
    try:
        if not isinstance(body, Raw):
            str(body, "utf-8")
        return _slices(body)
    except UnicodeDecodeError as fault:
        raise InvalidJson(f"the body is not UTF-8: {fault}") from None
    except msgspec.ValidationError as fault:
        raise InvalidJson(f"the body is not a JSON object of fields: {fault}") from None
    except msgspec.DecodeError as fault:
        raise InvalidJson(f"the body is not valid JSON: {json_fault(body, fault)}") from None
    except RecursionError:
        raise InvalidJson("the body is nested too deeply") from None


def _spellings(name: str, declared: Field) -> list[str]:
    names = [name, camel(name), *declared.also]
    if declared.twin is not None:
        names += [f"{name}_value", camel(f"{name}_value")]
    return names


def _defaults(message: type[msgspec.Struct]) -> list[tuple[str, Any, Any]]:
    info = msgspec.structs.fields(message)
    return [(each.name, each.default, each.default_factory) for each in info]


def _payload(text: Raw) -> Raw:
    # `text` is a slice of the request body; the copy lets the body be freed.
    return check_payload(Raw(bytes(text)), "the payload")


def _unread(text: Raw) -> Raw:
    return Raw(bytes(text))


def _json_text(text: Raw) -> str:
    """A text that holds JSON, or the JSON itself as its text."""
    whole = bytes(text)
    return _keepable(_decode_str(whole) if whole.startswith(b'"') else bytes(_payload(text)).decode())


def _mask(text: Raw) -> str:
    """Field names with commas between. Raises ValueError."""
    found = _anything(text)
    paths: object = None
    if isinstance(found, dict):
        paths = cast("dict[str, object]", found).get("paths")
    elif isinstance(found, str):
        paths = found.split(",")
    if not isinstance(paths, list):
        raise ValueError('neither a text of field names nor {"paths": [...]}')
    names = [path for path in cast("list[object]", paths) if isinstance(path, str)]
    if len(names) != len(cast("list[object]", paths)):
        raise ValueError("a path of a field mask is a text")
    return _keepable(",".join(names))


def _reader_of(hint: Any, declared: Field) -> Read:
    if declared.mask:
        return _mask
    if declared.json_text:
        return _json_text
    if declared.exact:
        (message,) = get_args(bare_type(hint))
        return exact_list_reader(message, reader(message).read)
    return _unread if declared.read_later else _reading(hint)


def _text(text: Raw) -> str:
    value = _decode_str(text)
    if "\0" in value:
        raise ValueError(_NO_NULL)
    return value


def _reading(hint: Any) -> Read:
    kind = bare_type(hint)
    if kind is Raw:
        return _payload
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return lambda text: reader(kind).read(text)
    if isinstance(kind, type) and issubclass(kind, WireEnum):
        return lambda text: kind.accept(_anything(text))
    if kind is datetime:
        decode_text = msgspec.json.Decoder(str).decode
        return lambda text: _moment(decode_text(text))
    if kind is timedelta:
        return lambda text: _duration(_anything(text))
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        inner = bare_type(item)
        if isinstance(inner, type) and issubclass(inner, (msgspec.Struct, WireEnum, Raw)):
            read_item = _reading(item)
            return lambda text: [value for each in _items(text) if (value := read_item(each)) is not None]
    if get_origin(kind) is dict and bare_type(get_args(kind)[1]) is Raw:
        return lambda text: {key: _payload(each) for key, each in _slices(text).items()}
    decode = msgspec.json.Decoder(hint, strict=False).decode
    if hint is str:
        return _text
    if kind in (str, int, list[str]):
        return lambda text: _keepable(decode(text))
    return decode


def _moment(text: str) -> datetime:
    try:
        return parse_datetime(text)
    except InvalidArgument as fault:
        # A ValueError, so that the caller adds the name of the field.
        raise ValueError(fault.message) from None


def _duration(value: Any) -> timedelta:
    """A duration text such as `1.5s`, or a number of milliseconds. Raises ValueError."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    try:
        return timedelta(milliseconds=duration_ms(value, number_unit="ms"))
    except (InvalidArgument, TypeError) as fault:
        raise ValueError(str(fault)) from None


def seconds_text(duration: timedelta) -> str:
    """As protobuf's JSON writes a Duration: seconds with a fraction where there is one."""
    return f"{duration.total_seconds():.9f}".rstrip("0").rstrip(".") + "s"


def _keepable(value: Any) -> Any:
    """A text, texts or a whole number that both databases can keep. Raises ValueError."""
    if value is None:
        return None
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{value} does not fit into 64 bits")
    elif "\0" in value if isinstance(value, str) else any("\0" in each for each in value):
        raise ValueError(_NO_NULL)
    return value


def _plain_text(text: str) -> str:
    if "\0" in text:
        raise ValueError(_NO_NULL)
    return text


def _reading_text(hint: Any) -> FromText:
    """Reads a field of this type from a path segment, query parameter or header."""
    kind = bare_type(hint)
    if isinstance(kind, type) and issubclass(kind, WireEnum):
        return kind.accept
    if kind is datetime:
        return _moment
    if kind is timedelta:
        return _duration
    if kind is Raw:
        return lambda text: check_payload(Raw(text.encode()), "the payload")
    if get_origin(kind) is list:
        read = _reading_text(get_args(kind)[0])
        return lambda text: [value for each in text.split(",") if each and (value := read(each)) is not None]
    if hint is str:
        return _plain_text
    if kind in (str, int):
        return lambda text: _keepable(msgspec.convert(text, hint, strict=False))
    return lambda text: msgspec.convert(text, hint, strict=False)


Write = Callable[[Any], Any]


class Writer:
    """Turns one kind of message into a dict with the keys and value forms of one wire."""

    def __init__(self, message: type[msgspec.Struct], spelling: Spelling, rpc: bool, twins: Twins) -> None:
        hints = get_type_hints(message, include_extras=True)
        self._twins_alone = twins == "value"
        self._plan: list[tuple[str, tuple[str, ...], Write | None, bool]] = []
        for name, declared in fields_of(message).items():
            if declared.only is not None and (declared.only == "rpc") is not rpc:
                continue
            keys = tuple({"snake": [name], "camel": [camel(name)], "both": [name, camel(name)]}[spelling])
            write = _writing(hints[name], spelling, rpc, twins, declared)
            self._plan.append((name, tuple(dict.fromkeys(keys)), write, rpc and declared.twin is not None))
        # All values at once: most are None, and take no further step.
        self._values = _values_of([name for name, *_ in self._plan])
        is_plain = all(len(keys) == 1 and write is None and not twin for _, keys, write, twin in self._plan)
        self._keys = [keys[0] for _, keys, *_ in self._plan] if is_plain else None

    def write(self, message: msgspec.Struct) -> dict[str, Any]:
        """A dict ready for JSON. Fields that are None are left out."""
        values = self._values(message)
        if self._keys is not None:
            return {key: value for key, value in zip(self._keys, values, strict=True) if value is not None}
        out: dict[str, Any] = {}
        for value, (_, keys, write, twin) in zip(values, self._plan, strict=True):
            if value is None:
                continue
            if write is not None:
                value = write(value)
            for key in keys:
                out[key] = value
            if twin and not bytes(value).lstrip().startswith(b"{"):
                # Older JavaScript clients read only `x`, generated ones `xValue`: both get it.
                out[keys[0] + "Value"] = value
                if self._twins_alone:
                    for key in keys:
                        del out[key]
        return out


def _values_of(names: Sequence[str]) -> Callable[[msgspec.Struct], tuple[Any, ...]]:
    """A function that gives these fields of a message."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda message: tuple(getattr(message, name) for name in names)


@cache
def writer(
    message: type[msgspec.Struct], spelling: Spelling = "snake", rpc: bool = False, twins: Twins = "both"
) -> Writer:
    return Writer(message, spelling, rpc, twins)


def _writing(hint: Any, spelling: Spelling, rpc: bool, twins: Twins, declared: Field) -> Write | None:
    kind = bare_type(hint)
    if declared.int64 and rpc:
        return str
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if not rpc and spelling == "snake" and _is_encoded_as_declared(kind):
            return None
        # The child's writer is looked up late, so that messages may contain themselves.
        return lambda value: writer(kind, spelling, rpc, twins).write(value)
    if isinstance(kind, type) and issubclass(kind, WireEnum):
        return attrgetter("sent" if rpc else "sent_by_rest")
    if kind is timedelta:
        return seconds_text
    if get_origin(kind) is list:
        inner = _writing(get_args(kind)[0], spelling, rpc, twins, Field())
        return None if inner is None else lambda value: [inner(each) for each in value]
    return None


def _is_encoded_as_declared(message: type[msgspec.Struct]) -> bool:
    """Whether msgspec encodes the message as its writer of snake case for REST does: saves a dict for each of many.

    Such a message is declared with omit_defaults, and every field that is not required is None by default.
    """
    if not message.__struct_config__.omit_defaults:
        return False
    hints = get_type_hints(message, include_extras=True)
    return all(
        (default is msgspec.NODEFAULT or default is None)
        and factory is msgspec.NODEFAULT
        and fields_of(message)[name].only is None
        and _writing(hints[name], "snake", rpc=False, twins="both", declared=Field()) is None
        for name, default, factory in _defaults(message)
    )


def message_to_json(
    message: msgspec.Struct,
    spelling: Spelling = "snake",
    *,
    rpc: bool = False,
    twins: Twins = "both",
    only: Mapping[str, Any] | None = None,
) -> bytes:
    """A message as compact JSON in `spelling`; `only` adds or replaces keys."""
    out = writer(type(message), spelling, rpc, twins).write(message)
    if only:
        out.update(only)
    return _encode(out)

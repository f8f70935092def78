"""Annotations of the fields of contract messages: protobuf number, other names, differences between the wires.

    class TriggerRequest(Message):
        event: Annotated[str, field(1, also=("name",))]

Source of the numbers: protocol/connectrpc.json; a test walks them.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin, get_type_hints

import msgspec

Wire = Literal["rest", "rpc"]


class Message(msgspec.Struct):
    """Base of every request and response; subclasses set `kw_only=True`. Field names are snake_case."""


@dataclass(frozen=True, slots=True)
class Field:
    """How transports read and write one field.

    number: protobuf field number, None for fields that only REST has.
    also: other names accepted on input.
    twin: protobuf number of the `_value` companion: objects travel as `x`, any other JSON as `x_value`.
    int64: sent as a string in Connect JSON.
    only: the one wire that sends the field, None for both.
    json_in_bytes: binary messages carry the JSON text as bytes; Connect JSON carries it as a text, not as base64.
    json_text: a text that holds JSON; a client that sends a JSON value means its text.
    absent_is_zero: in a binary message, absence means 0 instead of the default, as protobuf does not write zeros.
    mask: a text of field names with commas; `{"paths": [...]}` means the same.
    read_later: JSON that the service reads and checks part by part; the transport does not check it.
    exact: a list of messages that come so often that those spelled as declared are decoded in one step.
    """

    number: int | None = None
    also: tuple[str, ...] = ()
    twin: int | None = None
    int64: bool = False
    only: Wire | None = None
    json_in_bytes: bool = False
    json_text: bool = False
    absent_is_zero: bool = False
    read_later: bool = False
    mask: bool = False
    exact: bool = False


def field(
    number: int | None = None,
    *,
    also: tuple[str, ...] = (),
    twin: int | None = None,
    int64: bool = False,
    only: Wire | None = None,
    json_in_bytes: bool = False,
    json_text: bool = False,
    absent_is_zero: bool = False,
    read_later: bool = False,
    mask: bool = False,
    exact: bool = False,
    **limits: Any,
) -> msgspec.Meta:
    """Annotates a message field; `limits` are msgspec's own (ge, max_length, pattern, ...)."""
    declared = Field(number, also, twin, int64, only, json_in_bytes, json_text, absent_is_zero, read_later, mask, exact)
    return msgspec.Meta(extra={"wire": declared}, **limits)


def fields_of(message: type[msgspec.Struct]) -> dict[str, Field]:
    """Every field of `message` by attribute name, with its annotation, or an empty one."""
    found: dict[str, Field] = {}
    for name, hint in get_type_hints(message, include_extras=True).items():
        if name not in message.__struct_fields__:
            continue
        found[name] = _annotation(hint) or Field()
    return found


def _annotation(hint: Any) -> Field | None:
    # `Annotated[X, field(...)] | None` has it inside the union.
    inside = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    for each in (hint, *inside):
        for meta in getattr(each, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.extra and "wire" in meta.extra:
                return meta.extra["wire"]
    return None


def is_optional(hint: Any) -> bool:
    """Whether a field of this type may be None."""
    return get_origin(hint) in (Union, UnionType) and type(None) in get_args(hint)


def bare_type(hint: Any) -> Any:
    """A type without `Annotated` and without `| None`."""
    while True:
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        elif get_origin(hint) in (Union, UnionType):
            kept = [each for each in get_args(hint) if each is not type(None)]
            if len(kept) != 1:
                return hint
            hint = kept[0]
        else:
            return hint


class WireEnum(StrEnum):
    """An enum whose values are short lower-case names; subclasses define prefix, numbers and the form in JSON.

    Every form is accepted on input: `completed`, `COMPLETED`, `RUN_STATUS_COMPLETED`, or the number.
    Source: protocol/connectrpc.md 4.
    """

    @classmethod
    def prefix(cls) -> str:
        """Such as `RUN_STATUS_`."""
        raise NotImplementedError(cls.__name__)

    @classmethod
    def numbers(cls) -> dict[str, int]:
        """Protobuf number of each value."""
        raise NotImplementedError(cls.__name__)

    @property
    def sent(self) -> str:
        """The form sent in JSON: the protobuf name unless the enum overrides it."""
        return self.prefix() + self.value.upper()

    @property
    def sent_by_rest(self) -> str:
        """The form in answers of REST: that of JSON over RPC unless the enum overrides it."""
        return self.sent

    @classmethod
    def accept(cls, given: Any) -> Self | None:
        """The member that `given` names; None for unset forms (empty text, 0, `..._UNSPECIFIED`). Raises ValueError."""
        if given in (None, "", 0):
            return None
        if isinstance(given, int) and not isinstance(given, bool):
            for value, number in cls.numbers().items():
                if number == given:
                    return cls(value)
            raise ValueError(f"{given} is no number of {cls.__name__}")
        value = str(given).removeprefix(cls.prefix()).lower()
        return None if value == "unspecified" else cls(value)

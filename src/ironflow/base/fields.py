"""What a field of a contract message says about itself besides its type: protobuf number, other names, wire manners.

    class TriggerRequest(Message):
        event: Annotated[str, field(1, also=("name",))]

Source of the numbers: protocol/connectrpc.json; a test walks them.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

import msgspec

Wire = Literal["rest", "rpc"]


class Message(msgspec.Struct):
    """Base of every request and response; subclasses say `kw_only=True`. Field names are snake_case."""


@dataclass(frozen=True, slots=True)
class Field:
    """What a transport needs to know of one field.

    number: protobuf field number, None for fields that only REST has.
    also: other names accepted on input.
    twin: protobuf number of the `_value` companion: objects travel as `x`, any other JSON as `x_value`.
    int64: sent as a string in Connect JSON.
    only: the one wire that sends the field, None for both.
    json_in_bytes: binary messages carry the JSON text as bytes; Connect JSON carries it as a text, not as base64.
    json_text: a text that holds JSON; who sends the JSON itself means its text.
    zero_is_said: a binary message without this number says 0, for protobuf does not write zeros, not the default.
    read_later: JSON whose parts are read, and checked, by who takes it; it is not checked as a whole before.
    """

    number: int | None = None
    also: tuple[str, ...] = ()
    twin: int | None = None
    int64: bool = False
    only: Wire | None = None
    json_in_bytes: bool = False
    json_text: bool = False
    zero_is_said: bool = False
    read_later: bool = False


def field(
    number: int | None = None,
    *,
    also: tuple[str, ...] = (),
    twin: int | None = None,
    int64: bool = False,
    only: Wire | None = None,
    json_in_bytes: bool = False,
    json_text: bool = False,
    zero_is_said: bool = False,
    read_later: bool = False,
    **limits: Any,
) -> msgspec.Meta:
    """Annotates a message field; `limits` are msgspec's own (ge, max_length, pattern, ...)."""
    said = Field(number, also, twin, int64, only, json_in_bytes, json_text, zero_is_said, read_later)
    return msgspec.Meta(extra={"wire": said}, **limits)


def fields_of(message: type[msgspec.Struct]) -> dict[str, Field]:
    """Every field of `message` by attribute name, with what its annotation says (or nothing said)."""
    found: dict[str, Field] = {}
    for name, hint in get_type_hints(message, include_extras=True).items():
        if name not in message.__struct_fields__:
            continue
        found[name] = _said(hint) or Field()
    return found


def _said(hint: Any) -> Field | None:
    # `Annotated[X, field(...)] | None` says it inside the union.
    inside = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    for each in (hint, *inside):
        for meta in getattr(each, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.extra and "wire" in meta.extra:
                return meta.extra["wire"]
    return None


class WireEnum(StrEnum):
    """An enum whose values are the short lower-case words; subclasses say prefix, numbers and how JSON sends them.

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
        """The word sent in JSON: the protobuf name unless the enum says otherwise."""
        return self.prefix() + self.value.upper()

    @classmethod
    def accept(cls, given: Any) -> Self | None:
        """The member meant by `given`; None for unset forms (empty text, 0, `..._UNSPECIFIED`). Raises ValueError."""
        if given in (None, "", 0):
            return None
        if isinstance(given, int) and not isinstance(given, bool):
            for value, number in cls.numbers().items():
                if number == given:
                    return cls(value)
            raise ValueError(f"{given} is no number of {cls.__name__}")
        word = str(given).removeprefix(cls.prefix()).lower()
        return None if word == "unspecified" else cls(word)

"""Messages and methods as `ironflow.binpb` describes them: a FileDescriptorSet, read by the rules it is written in."""

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from ironflow.transports.protobuf.wire import fields

# Numbers of the types in google/protobuf/descriptor.proto.
DOUBLE, INT64, UINT64, INT32, BOOL, STRING, MESSAGE, BYTES, UINT32, ENUM = 1, 3, 4, 5, 8, 9, 11, 12, 13, 14
_REPEATED = 3


@dataclass(slots=True)
class Enum:
    """numbers: by name, in the order of declaration."""

    numbers: dict[str, int] = field(default_factory=dict[str, int])

    def name_of(self, number: int) -> str | None:
        return next((name for name, each in self.numbers.items() if each == number), None)


@dataclass(slots=True)
class FieldShape:
    """kind: a number of the list above. of: the full name of a message or an enum.

    present: whether a zero value is told from an unset one.
    """

    number: int
    name: str
    kind: int
    of: str
    repeated: bool
    present: bool


@dataclass(slots=True)
class Shape:
    """One message by its full name, such as `ironflow.v1.Run`. is_entry: one pair of a map."""

    name: str
    fields: dict[int, FieldShape] = field(default_factory=dict[int, FieldShape])
    is_entry: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    asked: Shape
    told: Shape


class Schema:
    """Everything that a FileDescriptorSet describes."""

    def __init__(self, descriptors: bytes) -> None:
        self.messages: dict[str, Shape] = {}
        self.enums: dict[str, Enum] = {}
        self._methods: dict[str, tuple[str, str]] = {}
        for _, _, file in fields(descriptors):
            self._read_file(_bytes(file))

    def method(self, name: str) -> Method | None:
        """name: `ironflow.v1.Service/Method`; None when the files do not have it."""
        found = self._methods.get(name)
        return found and Method(self.messages[found[0]], self.messages[found[1]])

    @property
    def methods(self) -> list[str]:
        return list(self._methods)

    def _read_file(self, data: bytes) -> None:
        parts = list(fields(data))
        package = next((_text(value) for number, _, value in parts if number == 2), "")
        for number, _, value in parts:
            if number == 4:
                self._read_message(_bytes(value), package)
            elif number == 5:
                self._read_enum(_bytes(value), package)
            elif number == 6:
                self._read_service(_bytes(value), package)

    def _read_message(self, data: bytes, within: str) -> None:
        parts = list(fields(data))
        shape = Shape(f"{within}.{next(_text(value) for number, _, value in parts if number == 1)}")
        self.messages[shape.name] = shape
        for number, _, value in parts:
            if number == 2:
                each = _field(_bytes(value))
                shape.fields[each.number] = each
            elif number == 3:
                self._read_message(_bytes(value), shape.name)
            elif number == 4:
                self._read_enum(_bytes(value), shape.name)
            elif number == 7:
                shape.is_entry = any(option == 7 and bool(set_) for option, _, set_ in fields(_bytes(value)))

    def _read_enum(self, data: bytes, within: str) -> None:
        enum, name = Enum(), ""
        for number, _, value in fields(data):
            if number == 1:
                name = _text(value)
            elif number == 2:
                said = {part: inner for part, _, inner in fields(_bytes(value))}
                enum.numbers[_text(said[1])] = _number(said.get(2, 0))
        self.enums[f"{within}.{name}"] = enum

    def _read_service(self, data: bytes, within: str) -> None:
        parts = list(fields(data))
        service = next(_text(value) for number, _, value in parts if number == 1)
        for number, _, value in parts:
            if number == 2:
                said = {part: inner for part, _, inner in fields(_bytes(value))}
                asked, told = (_text(said[part]).removeprefix(".") for part in (2, 3))
                self._methods[f"{within}.{service}/{_text(said[1])}"] = (asked, told)


def _field(data: bytes) -> FieldShape:
    said = {part: value for part, _, value in fields(data)}
    kind = _number(said[5])
    repeated = said.get(4) == _REPEATED
    return FieldShape(
        number=_number(said[3]),
        name=_text(said[1]),
        kind=kind,
        of=_text(said.get(6, b"")).removeprefix("."),
        repeated=repeated,
        # A message, a member of a oneof (also the one that `optional` makes): all can be told from unset.
        present=not repeated and (kind == MESSAGE or 9 in said),
    )


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()


def _number(value: int | bytes) -> int:
    assert isinstance(value, int)
    return value


@cache
def ironflow_schema() -> Schema:
    """The schema in the package; read when the first binary message comes."""
    return Schema(files("ironflow").joinpath("proto/ironflow.binpb").read_bytes())

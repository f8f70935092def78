"""Messages and methods as `ironflow.binpb` describes them: a FileDescriptorSet, itself a protobuf message."""

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from ironflow.base.spelling import camel
from ironflow.transports.protobuf.wire import fields

# Numbers of the types in google/protobuf/descriptor.proto.
DOUBLE, INT64, UINT64, INT32, BOOL, STRING, MESSAGE, BYTES, UINT32, ENUM = 1, 3, 4, 5, 8, 9, 11, 12, 13, 14
_REPEATED = 3
# MethodOptions.idempotency_level, and its value NO_SIDE_EFFECTS.
_IDEMPOTENCY_LEVEL, _READS_ONLY = 34, 1


@dataclass(slots=True)
class Enum:
    """numbers: by name, in the order of declaration."""

    numbers: dict[str, int] = field(default_factory=dict[str, int])

    def name_of(self, number: int) -> str | None:
        return next((name for name, each in self.numbers.items() if each == number), None)


@dataclass(slots=True)
class FieldShape:
    """kind: a number of the list above. of: the full name of a message or an enum.

    present: it has presence: a zero value differs from an unset one. json_name: its key in JSON.
    """

    number: int
    name: str
    json_name: str
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
    """reads_only: marked as free of side effects, so that it may be called with GET."""

    request: Shape
    response: Shape
    reads_only: bool


class Schema:
    """Everything that a FileDescriptorSet describes."""

    def __init__(self, descriptors: bytes) -> None:
        self.messages: dict[str, Shape] = {}
        self.enums: dict[str, Enum] = {}
        self._methods: dict[str, tuple[str, str, bool]] = {}
        for _, _, file in fields(descriptors):
            self._read_file(_bytes(file))

    def method(self, name: str) -> Method | None:
        """name: `ironflow.v1.Service/Method`; None when the files do not have it."""
        found = self._methods.get(name)
        return found and Method(self.messages[found[0]], self.messages[found[1]], found[2])

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
                parts = {part: inner for part, _, inner in fields(_bytes(value))}
                enum.numbers[_text(parts[1])] = _number(parts.get(2, 0))
        self.enums[f"{within}.{name}"] = enum

    def _read_service(self, data: bytes, within: str) -> None:
        parts = list(fields(data))
        service = next(_text(value) for number, _, value in parts if number == 1)
        for number, _, value in parts:
            if number == 2:
                method = {part: inner for part, _, inner in fields(_bytes(value))}
                request, response = (_text(method[part]).removeprefix(".") for part in (2, 3))
                options = {part: inner for part, _, inner in fields(_bytes(method.get(4, b"")))}
                reads_only = options.get(_IDEMPOTENCY_LEVEL) == _READS_ONLY
                self._methods[f"{within}.{service}/{_text(method[1])}"] = (request, response, reads_only)


def _field(data: bytes) -> FieldShape:
    parts = {part: value for part, _, value in fields(data)}
    kind = _number(parts[5])
    repeated = parts.get(4) == _REPEATED
    return FieldShape(
        number=_number(parts[3]),
        name=_text(parts[1]),
        # protoc sets it; hand-made descriptors may leave it to the naming rule.
        json_name=_text(parts[10]) if 10 in parts else camel(_text(parts[1])),
        kind=kind,
        of=_text(parts.get(6, b"")).removeprefix("."),
        repeated=repeated,
        # Messages and members of a oneof (also the one that `optional` makes) have presence.
        present=not repeated and (kind == MESSAGE or 9 in parts),
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

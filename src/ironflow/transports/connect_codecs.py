"""How the messages of one method travel over Connect: as JSON or as binary protobuf."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ironflow.base.operation import Operation
from ironflow.base.spelling import message_to_json, reader
from ironflow.transports.protobuf.reading import message_reader
from ironflow.transports.protobuf.schema import Schema, ironflow_schema
from ironflow.transports.protobuf.writing import message_writer

PACKAGE = "ironflow.v1."


class Codec(Protocol):
    """name: as in `application/<name>` and `application/connect+<name>`."""

    @property
    def name(self) -> str: ...

    def read(self, data: bytes) -> Any:
        """A request message. Raises InvalidArgument and its kinds."""
        ...

    def write(self, answer: Any) -> bytes: ...


@dataclass(frozen=True)
class JsonCodec:
    """Connect JSON: the operation's own spelling out, every spelling in."""

    operation: Operation[Any, Any]
    name: str = "json"

    def read(self, data: bytes) -> Any:
        return reader(self.operation.request).read(data)

    def write(self, answer: Any) -> bytes:
        if answer is None:
            return b"{}"
        return message_to_json(answer, self.operation.rpc_spelling, rpc=True, twins=self.operation.twins)


class ProtoCodec:
    """Binary messages with the numbers of the method's descriptors."""

    name = "proto"

    def __init__(self, operation: Operation[Any, Any], schema: Schema, asked: str, told: str) -> None:
        self._reader = message_reader(schema, asked, operation.request)
        self._writer = operation.response and message_writer(schema, told, operation.response)

    def read(self, data: bytes) -> Any:
        return self._reader.read(data)

    def write(self, answer: Any) -> bytes:
        return b"" if answer is None or self._writer is None else self._writer.write(answer)


class Codecs:
    """The codecs of every method, made when they are first asked for. schema: read when the first is binary."""

    def __init__(self, schema: Callable[[], Schema] = ironflow_schema) -> None:
        self._schema = schema
        self._made: dict[tuple[str, str], Codec | None] = {}

    def find(self, operation: Operation[Any, Any], rpc: str, name: str) -> Codec | None:
        """rpc: `Service/Method`. None when it is not spoken so: an unknown codec, or a method that is JSON only."""
        if (rpc, name) not in self._made and name in ("json", "proto"):
            self._made[rpc, name] = self._make(operation, rpc, name)
        return self._made.get((rpc, name))

    def _make(self, operation: Operation[Any, Any], rpc: str, name: str) -> Codec | None:
        if name == "json":
            return JsonCodec(operation)
        schema = self._schema()
        method = schema.method(PACKAGE + rpc)
        return method and ProtoCodec(operation, schema, method.asked.name, method.told.name)

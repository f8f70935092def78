"""How the messages of one method are encoded over Connect: as JSON in one of two dialects, or as binary protobuf.

Source: protocol/connectrpc.md 2, "Two dialects of JSON answers".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ironflow.base.operation import Operation
from ironflow.base.spelling import message_to_json, reader
from ironflow.transports.protobuf.json_writing import json_writer
from ironflow.transports.protobuf.reading import message_reader
from ironflow.transports.protobuf.schema import Method, Schema, ironflow_schema
from ironflow.transports.protobuf.writing import message_writer

PACKAGE = "ironflow.v1."

# javascript: for most clients. strict: proto JSON, for generated clients. go: strict, except for the answers in which
# older Go clients expect other keys or numbers (Operation.plain_go).
Dialect = Literal["javascript", "strict", "go"]
_GO = "Go-http-client/"


def dialect_of(headers: Mapping[str, str]) -> Dialect:
    """The one JSON dialect that a request's answers are written in."""
    if "connect-protocol-version" in headers:
        return "strict"
    return "go" if headers.get("user-agent", "").startswith(_GO) else "javascript"


class Codec(Protocol):
    """name: as in `application/<name>` and `application/connect+<name>`."""

    @property
    def name(self) -> str: ...

    def read(self, data: bytes) -> Any:
        """A request message. Raises InvalidArgument and its subclasses."""
        ...

    def write(self, answer: Any) -> bytes: ...


@dataclass(frozen=True)
class JsonCodec:
    """The JavaScript dialect: writes the operation's own spelling, reads every spelling."""

    operation: Operation[Any, Any]
    name: str = "json"

    def read(self, data: bytes) -> Any:
        return reader(self.operation.request).read(data)

    def write(self, answer: Any) -> bytes:
        if answer is None:
            return b"{}"
        return message_to_json(answer, self.operation.rpc_spelling, rpc=True, twins=self.operation.twins)


class StrictCodec:
    """The strict dialect: writes what a protobuf library's JSON writer does, reads every spelling."""

    name = "json"

    def __init__(self, operation: Operation[Any, Any], schema: Schema, method: Method, dialect: Dialect) -> None:
        plain_go = operation.plain_go if dialect == "go" else None
        self._reader = reader(operation.request)
        self._writer = operation.response and json_writer(
            schema, method.response.name, operation.response, plain_go == "snake", plain_go == "numbers"
        )

    def read(self, data: bytes) -> Any:
        return self._reader.read(data)

    def write(self, answer: Any) -> bytes:
        return b"{}" if answer is None or self._writer is None else self._writer.write(answer)


class ProtoCodec:
    """Binary messages with the numbers of the method's descriptors."""

    name = "proto"

    def __init__(self, operation: Operation[Any, Any], schema: Schema, method: Method) -> None:
        self._reader = message_reader(schema, method.request.name, operation.request)
        self._writer = operation.response and message_writer(schema, method.response.name, operation.response)

    def read(self, data: bytes) -> Any:
        return self._reader.read(data)

    def write(self, answer: Any) -> bytes:
        return b"" if answer is None or self._writer is None else self._writer.write(answer)


class Codecs:
    """The codecs of every method, made at their first use. schema: read at the first binary or strict message."""

    def __init__(self, schema: Callable[[], Schema] = ironflow_schema) -> None:
        self._schema = schema
        self._made: dict[tuple[str, str, Dialect], Codec | None] = {}

    def find(
        self, operation: Operation[Any, Any], rpc: str, name: str, dialect: Dialect = "javascript"
    ) -> Codec | None:
        """rpc: `Service/Method`. name: as in the content type; dialect: of JSON.

        None for an unknown codec, and for binary messages of a method that is JSON only.
        """
        key = (rpc, name, dialect)
        if key not in self._made and name in ("json", "proto"):
            self._made[key] = self._make(operation, *key)
        return self._made.get(key)

    def reads_only(self, rpc: str) -> bool:
        """Whether the method is marked as free of side effects."""
        method = self._schema().method(PACKAGE + rpc)
        return method is not None and method.reads_only

    def _make(self, operation: Operation[Any, Any], rpc: str, name: str, dialect: Dialect) -> Codec | None:
        if name == "json" and dialect == "javascript":
            return JsonCodec(operation)
        schema = self._schema()
        method = schema.method(PACKAGE + rpc)
        if name == "proto":
            return method and ProtoCodec(operation, schema, method)
        return JsonCodec(operation) if method is None else StrictCodec(operation, schema, method, dialect)

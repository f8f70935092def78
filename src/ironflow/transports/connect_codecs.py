"""How the messages of one operation travel over Connect, by the codec's name in the content type."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from ironflow.base.operation import Operation
from ironflow.base.spelling import message_to_json, reader


class Codec(Protocol):
    """name: as in `application/connect+<name>` and `application/<name>`."""

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
        return b"{}" if answer is None else message_to_json(answer, self.operation.rpc_spelling, rpc=True)


@cache
def codec(operation: Operation[Any, Any], name: str) -> Codec | None:
    """None when the operation is not spoken in it."""
    return JsonCodec(operation) if name == "json" else None

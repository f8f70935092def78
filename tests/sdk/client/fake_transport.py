"""A fake transport for client tests: it records requests and returns prepared answers."""

from collections import deque
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import msgspec
from multidict import CIMultiDict

from ironflow.sdk.wire.transport import Answer, Refused

HTTP_OK = 200


class Sent(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    timeout: float


def answer(body: Any = None, status: int = 200, **headers: str) -> Answer:
    """An answer with a JSON body; header names with `_` for `-`."""
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Answer(status, named, b"" if body is None else msgspec.json.encode(body))


@dataclass
class FakeTransport:
    """Answers, or faults to raise, in order; the last one is given again and again."""

    answers: deque[Answer | Exception] = field(default_factory=deque)
    sent: list[Sent] = field(default_factory=list)
    closed: bool = False

    def gives(self, *answers: Answer | Exception) -> Self:
        self.answers.extend(answers)
        return self

    def take(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Answer:
        is_json = headers.get("Content-Type") == "application/json"
        self.sent.append(Sent(method, path, headers, msgspec.json.decode(body) if body and is_json else body, timeout))
        found = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    def parts(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Generator[bytes, None, None]:
        """The next answer's body byte by byte; raises Refused for an error status."""
        found = self.take(method, path, headers, body, timeout)
        if found.status != HTTP_OK:
            raise Refused(found)
        for place in range(len(found.body)):
            yield found.body[place : place + 1]


class FakeAsyncTransport(FakeTransport):
    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        return self.take(method, path, headers, body, timeout)

    async def stream(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> AsyncGenerator[bytes, None]:
        for part in self.parts(method, path, headers, body, timeout):
            yield part

    async def close(self) -> None:
        self.closed = True


class FakeSyncTransport(FakeTransport):
    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Answer:
        return self.take(method, path, headers, body, timeout)

    def stream(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Generator[bytes, None, None]:
        yield from self.parts(method, path, headers, body, timeout)

    def close(self) -> None:
        self.closed = True

"""Messages that a run receives, and how it answers them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.values.payload import Raw, from_payload

Answering = Callable[[str, str, bool, Any], Awaitable[bool]]


class TakenMessage(NamedTuple):
    """ended_at: the time of the step that took it, the same in each replay; None where the server does not send it."""

    message: Raw
    ended_at: datetime | None = None


class CountedAnswer(NamedTuple):
    """counted: whether the answer counts. ended_at: as of a TakenMessage."""

    counted: bool
    ended_at: datetime | None = None


class Inbox(Protocol):
    """Takes and answers messages while an execution goes on. Both record their step; a repetition changes nothing.

    running: steps that run beside it or are not recorded so far.
    """

    async def take(
        self, job: Assignment, step_id: str, step_name: str, name: str, running: int, within_ms: int
    ) -> TakenMessage | None:
        """The next message of that name, None when there is none soon, or within `within_ms`. Raises IronflowError."""
        ...

    async def answer(
        self, job: Assignment, step_id: str, step_name: str, message_id: str, refused: bool, value: Raw, running: int
    ) -> CountedAnswer:
        """Raises IronflowError."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A message that the run has taken. asked: its sender waits for an answer. sent_by: its run or key."""

    id: str
    name: str
    data: Any
    timestamp: datetime
    asked: bool = False
    sent_by: str | None = None
    _answering: Answering | None = field(default=None, repr=False, compare=False)

    async def reply(self, value: Any = None) -> bool:
        """Answers the sender, once, as a step. Whether it counts: it is the first answer, and was asked for.

        Raises SerializationError.
        """
        return await self._answer(False, value)

    async def reject(self, reason: str) -> bool:
        """Refuses what was asked: the sender's `ask` raises AskRefused with the reason. Otherwise as reply."""
        return await self._answer(True, reason)

    async def _answer(self, refused: bool, value: Any) -> bool:
        if self._answering is None:
            return False
        return await self._answering(self.id, self.name, refused, value)


class _Received(msgspec.Struct, rename="camel"):
    id: str
    name: str
    data: Raw
    timestamp: datetime
    asked: bool = False
    sent_by: str | None = None


_read = msgspec.json.Decoder(_Received).decode


def message_of(output: Raw, answering: Answering) -> Message:
    """The message in a step's recorded output."""
    found = _read(output)
    return Message(
        found.id, found.name, from_payload(found.data), found.timestamp, found.asked, found.sent_by, answering
    )

"""What can be asked of messages to runs. Source: docs/guides/run-messages.md."""

from datetime import datetime
from typing import Annotated

import msgspec

from ironflow.base.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from ironflow.base.fields import Message, field
from ironflow.base.json import Json, null
from ironflow.base.operation import operation
from ironflow.base.run_keys import InvalidRunKey
from ironflow.engine.errors import StaleExecution
from ironflow.features.functions.contract import FunctionNotActive, FunctionNotFound
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.values.contract import InvalidRunValue, RunValueTooLarge, SetValue

WAIT_MS_MAX = 60_000


class InvalidRunMessage(InvalidArgument):
    """A message's name is 1 to 128 characters without spaces; a start names its run as `function:key`."""

    code = "INVALID_RUN_MESSAGE"


class ReceiverEnded(FailedPrecondition):
    """The run has ended: it takes no more messages. Send with `start` to start another run under its key."""

    code = "RECEIVER_ENDED"


class InboxFull(ResourceExhausted):
    """The run has as many messages from its oldest unread one on as a run may have."""

    code = "INBOX_FULL"


class SendMessage(Message, kw_only=True):
    """run_id: or `function:key`. start: a run of that function starts under that key, with `input`, if there is none.

    idempotency_key: unique among the messages to that run or key, for as long as messages are kept.
    """

    run_id: str
    name: str
    data: Json = msgspec.field(default_factory=null)
    start: bool = False
    input: Json = msgspec.field(default_factory=null)
    idempotency_key: str = ""


class Sent(Message, kw_only=True):
    """duplicate: the idempotency key was used before. started: the message started the run."""

    id: str
    run_id: str
    duplicate: bool | None = None
    started: bool | None = None


class Ask(SendMessage, kw_only=True):
    """wait_ms: how long to wait for the answer."""

    wait_ms: Annotated[int, field(ge=0, le=WAIT_MS_MAX)] = 0


class Answer(Message, kw_only=True):
    """state: `accepted` (not answered yet), `answered` with value, `refused` with reason, or `unanswered`: the run has
    ended without an answer. taken: the run has taken the message.
    """

    id: str
    run_id: str
    state: str
    taken: bool = False
    value: Json | None = None
    reason: str | None = None


class ListMessages(Message, kw_only=True):
    """In their order. unread: only those that the run has not taken. cursor: the number of the last one seen."""

    run_id: str
    unread: bool = False
    limit: Annotated[int, field(ge=1, le=1_000)] = 100
    cursor: str = ""


class Listed(Message, kw_only=True):
    """run_id: the run that it was sent to; once it is taken, the run that took it: of a chain, one of its links."""

    id: str
    run_id: str
    number: int
    name: str
    data: Json
    asked: bool
    state: str
    sent_by: str | None = None
    created_at: datetime
    taken_at: datetime | None = None
    taken_by: str | None = None
    answered_at: datetime | None = None


class Messages(Message, kw_only=True):
    messages: list[Listed]
    next_cursor: str | None = None


class TakeMessage(Message, kw_only=True):
    """The fence of the execution, the step that takes the message, and how long to hold an empty answer.

    running: steps that run beside it or are not reported so far; a requested pause waits for them. values: set since
    the last report; they are recorded whether or not there is a message.
    """

    worker: str
    job: str
    execution_seq: int | None = None
    lease_token: str = ""
    step_id: str
    step_name: str
    name: str
    wait_ms: Annotated[int, field(ge=0, le=WAIT_MS_MAX)] = 0
    running: Annotated[int, field(ge=0)] = 0
    values: list[SetValue] = []


class Taken(Message, kw_only=True):
    """message: as the step returns it; absent when there is none now. ended_at: of the step, in this execution and in
    each replay."""

    message: Json | None = None
    ended_at: datetime | None = None


class AnswerMessage(Message, kw_only=True):
    """The fence, the step that answers, and the answer. refused: with `value` as the reason.

    running: steps that run beside it or are not reported so far; a requested pause waits for them. values: set since
    the last report; a caller with the answer finds them.
    """

    worker: str
    job: str
    execution_seq: int | None = None
    lease_token: str = ""
    step_id: str
    step_name: str
    message_id: str
    refused: bool = False
    value: Json = msgspec.field(default_factory=null)
    running: Annotated[int, field(ge=0)] = 0
    values: list[SetValue] = []


class Answered(Message, kw_only=True):
    """counted: it is the first answer to the message, and some caller asked for one. ended_at: as in Taken."""

    counted: bool
    ended_at: datetime | None = None


_MESSAGES = "/api/v1/runs/{run_id}/messages"
_JOB = "/api/v1/workers/{worker}/jobs/{job}"
_SENDING = (
    RunNotFound,
    ReceiverEnded,
    InboxFull,
    InvalidRunMessage,
    InvalidRunKey,
    FunctionNotFound,
    FunctionNotActive,
)

send = operation(
    "messages.send", SendMessage, Sent,
    rest=f"POST {_MESSAGES}", scope="runs:write", adds="events", asks=("functions:invoke",), errors=_SENDING,
    doc="Sends a message to a run; answers when it is durable.",
)  # fmt: skip
ask = operation(
    "messages.ask", Ask, Answer,
    rest="POST /api/v1/runs/{run_id}/ask", scope="runs:write", adds="events", asks=("functions:invoke",), holds=True,
    errors=_SENDING,
    doc="As messages.send, then waits for the run's answer. The same idempotency key waits for the same answer.",
)  # fmt: skip
list_ = operation(
    "messages.list", ListMessages, Messages,
    rest=f"GET {_MESSAGES}", scope="runs:read", errors=(RunNotFound,),
    doc="The messages to a run, or to the chain that it is a link of, in their order.",
)  # fmt: skip
take = operation(
    "messages.take", TakeMessage, Taken,
    rest=f"POST {_JOB}/messages", scope="workers:write", under_way=True, holds=True,
    errors=(StaleExecution, InvalidRunValue, RunValueTooLarge),
    doc="The next unread message of a name, recorded as the output of a step of a run that is executed.",
)  # fmt: skip
answer = operation(
    "messages.answer", AnswerMessage, Answered,
    rest=f"POST {_JOB}/answers", scope="workers:write", under_way=True,
    errors=(StaleExecution, InvalidRunMessage, InvalidRunValue, RunValueTooLarge),
    doc="Answers a message that the run has taken, recorded as a step.",
)  # fmt: skip

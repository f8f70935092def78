"""What became of a question to a run."""

from typing import Any

from ironflow.base.errors import DeadlineExceeded, FailedPrecondition, NonRetryableError
from ironflow.features.messages.contract import Answer
from ironflow.sdk.values.payload import from_payload


class AskRefused(NonRetryableError):
    """The run has refused what it was asked, with this reason."""

    code = "ASK_REFUSED"


class AskUnanswered(FailedPrecondition):
    """The run ended without an answer."""

    code = "ASK_UNANSWERED"


class AskPending(DeadlineExceeded):
    """The run has accepted the question and has not answered in time. Ask again with the same idempotency key."""

    code = "ASK_PENDING"


def answer_of(found: Answer, name: str) -> Any:
    """The run's answer. Raises AskRefused, AskUnanswered, AskPending."""
    which = f"run {found.run_id}, asked {name!r}"
    details = {"message_id": found.id, "run_id": found.run_id, "taken": found.taken}
    if found.state == "answered":
        return None if found.value is None else from_payload(found.value)
    if found.state == "refused":
        raise AskRefused(found.reason or f"{which}, refused.", details=details)
    if found.state == "unanswered":
        raise AskUnanswered(f"{which}, ended without an answer.", details=details)
    taken = "has taken the message and not answered it" if found.taken else "has not taken the message"
    raise AskPending(f"{which}, {taken} in time.", details=details)

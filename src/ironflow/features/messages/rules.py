"""What is decided about messages; pure. Source: docs/guides/run-messages.md."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from ironflow.base.json import write_json_text
from ironflow.base.secret_texts import is_shown, leak_message
from ironflow.base.time import Millis, to_datetime
from ironflow.engine.model import RunValue
from ironflow.features.messages.contract import InvalidRunMessage
from ironflow.features.values.contract import InvalidRunValue

NAME_CHARS_MAX = 128
_FORBIDDEN = re.compile(r"[\s\x00-\x1f\x7f]")

State = Literal["", "answered", "refused"]


class Row(NamedTuple):
    """A message as it is stored. answer: JSON text.

    inbox: of all links of a chain, named by its first one. number: its order in the inbox. run_id: the link that it
    was sent to; once it is taken, the one that took it.
    """

    id: str
    environment: str
    run_id: str
    number: int
    name: str
    data: str
    asked: int
    scope: str
    idempotency_key: str | None
    sent_by: str
    created_at: Millis
    taken_by: str | None = None
    taken_at: Millis | None = None
    state: State = ""
    answer: str | None = None
    answered_at: Millis | None = None
    inbox: str = ""


def check_message_name(name: str) -> None:
    """Raises InvalidRunMessage."""
    if not name or len(name) > NAME_CHARS_MAX or _FORBIDDEN.search(name):
        raise InvalidRunMessage(f"{name[:60]!r} is no name of a message: write 1 to {NAME_CHARS_MAX} characters.")


def check_shows_no_secret(text: str, what: str, texts: tuple[str, ...]) -> None:
    """Raises InvalidRunMessage. what: such as `The answer`. texts: from `secret_texts`."""
    if is_shown(text, texts):
        raise InvalidRunMessage(leak_message(what))


def check_values_show_no_secret(values: Sequence[RunValue], texts: tuple[str, ...]) -> None:
    """Raises InvalidRunValue."""
    for value in values:
        if is_shown(f"{value.name} {value.value}", texts):
            raise InvalidRunValue(leak_message("A value"))


def decide_answer_state(message: Row, *, run_ended: bool) -> str:
    """What a caller that asked is answered: `answered`, `refused`, `unanswered` or `accepted`."""
    if message.state:
        return message.state
    return "unanswered" if run_ended else "accepted"


def message_text(message: Row) -> str:
    """A message as a receiving step returns it."""
    about = {
        "id": message.id,
        "name": message.name,
        "timestamp": to_datetime(message.created_at),
        "asked": bool(message.asked),
    }
    if message.sent_by:
        about["sentBy"] = message.sent_by
    return f'{write_json_text(about)[:-1]},"data":{message.data}}}'

"""What is kept of a command, and what is said of it. Source: behaviour.md 12, "Command dedup helper"."""

from typing import Any, Literal

import msgspec

from ironflow.base.errors import Aborted, Internal
from ironflow.sdk.views import Entry


class CommandInProgress(Aborted):
    """Somebody else has claimed the command and has not finished it. Ask again later."""

    code = "COMMAND_IN_PROGRESS"


class CommandCorrupt(Internal):
    """What is kept of the command cannot be read, so nobody can say whether it was carried out. Look at the entry."""

    code = "COMMAND_CORRUPT"


class Kept(msgspec.Struct, kw_only=True):
    """What a key of the bucket holds. claim: chosen by the claimer, so that it knows its own claim again."""

    state: Literal["claimed", "done"]
    claim: str
    result: msgspec.Raw = msgspec.Raw(b"null")


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a claim. won: the command is ours to carry out. result: what it gave, if it was done before."""

    command_id: str
    won: bool
    result: Any = None
    token: str = ""
    revision: int = 0


def read_kept(command_id: str, entry: Entry) -> Kept:
    try:
        return msgspec.json.decode(entry.value, type=Kept)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CommandCorrupt(
            f"Key {command_id!r} holds something else than a command's state. Look at it, then delete it."
        ) from None

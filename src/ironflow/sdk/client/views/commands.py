"""The stored record of a command, and a claim on it. Source: behaviour.md 12, "Command dedup helper"."""

from typing import Any, Literal

import msgspec

from ironflow.base.errors import Aborted, Internal
from ironflow.sdk.client.views import Entry


class CommandInProgress(Aborted):
    """Another client has claimed the command and has not finished it. Try again later."""

    code = "COMMAND_IN_PROGRESS"


class CommandCorrupt(Internal):
    """The stored record of the command cannot be read: it is unknown whether it was carried out. Look at the entry."""

    code = "COMMAND_CORRUPT"


class Kept(msgspec.Struct, kw_only=True):
    """The value of a key of the bucket. claim: a token of the claimer, by which it recognizes its own claim."""

    state: Literal["claimed", "done"]
    claim: str
    result: msgspec.Raw = msgspec.Raw(b"null")


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a claim. won: this client runs the command. result: that of an earlier run, when there was one."""

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

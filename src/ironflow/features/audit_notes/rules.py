"""What is decided of audit notes: how they are chained, and where a chain is broken."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from ironflow.base.json import write_json
from ironflow.base.time import Millis

MINUTE_MS = 60_000
# A minute is closed this long after its end: counts of other nodes may be on their way.
LATE_MS = 5_000
START = ""


class Note(NamedTuple):
    """One thing that was done or refused. payload: a JSON object. function_id: empty when it is about none.

    position: in the chain, from 1; 0 for notes from before there was one. hash: of this note and the hash before.
    """

    id: str
    environment: str
    at: Millis
    function_id: str
    event_type: str
    actor: str
    payload: str
    position: int
    hash: str


class Head(NamedTuple):
    """The last note, and the last one that retention has removed. anchor_signature: empty when it is not signed."""

    position: int
    hash: str
    anchor_position: int
    anchor_hash: str
    anchor_signature: str


class Refusal(NamedTuple):
    """Refusals that are alike, of one minute. action: the operation, or the scope where it was not known yet."""

    minute: Millis
    environment: str
    actor: str
    action: str
    code: str
    address: str


class Broken(NamedTuple):
    position: int
    reason: str


def chained(note: Note, before: str) -> Note:
    """The note with its hash. before: the hash of the note before it, START for the first."""
    return note._replace(hash=digest(note, before))


def digest(note: Note, before: str) -> str:
    """SHA-256, in hexadecimal digits, of the hash before and all fields but the hash."""
    return hashlib.sha256(write_json([before, *note[:-1]])).hexdigest()


def anchor_text(position: int, note_hash: str) -> str:
    """What is signed of an anchor."""
    return f"audit anchor {position} {note_hash}"


def first_broken(position: int, before: str, notes: Iterable[Note]) -> Broken | None:
    """The first note that does not follow from the one before. position, before: of the last note before these."""
    for note in notes:
        position += 1
        if note.position != position:
            return Broken(position, f"note {position} is not there")
        if note.hash != digest(note, before):
            return Broken(position, f"note {position} was changed, or the one before it")
        before = note.hash
    return None

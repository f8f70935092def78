"""What is decided about reading streams and keeping snapshots; pure. Appending is decided in the events feature."""

from collections.abc import Sequence

from ironflow.base.errors import IronflowError
from ironflow.features.events.contract import EntityTypeConflict, IdempotencyKeyReused
from ironflow.features.streams.contract import (
    AnswerTooLarge,
    InvalidAppends,
    InvalidRead,
    InvalidSnapshot,
    SnapshotTooLarge,
    StreamAppend,
)
from ironflow.log.heads import Head
from ironflow.log.record import Record

LIST_DEFAULT = 1000
HISTORY_DEFAULT = 50
# Clients take answers of up to 32 MiB; the rest is left for what stands around the data.
ANSWER_BYTES_MAX = 30 * 1024 * 1024
# What an event takes in an answer beside its data: ids, names, times.
ABOUT_BYTES = 400
APPENDS_MAX = 1000
APPENDS_BYTES_MAX = 16 * 1024 * 1024
# Greater than every version.
NEWEST = 2**63 - 1


def check_direction(direction: str) -> bool:
    """Whether to read backward. Raises InvalidRead."""
    if direction not in ("", "forward", "backward"):
        raise InvalidRead(f"{direction[:40]!r} is no direction: write `forward` or `backward`.")
    return direction == "backward"


def check_appends(appends: Sequence[StreamAppend]) -> None:
    """Of one commit. Raises InvalidAppends."""
    if not 1 <= len(appends) <= APPENDS_MAX:
        raise InvalidAppends(
            f"The request appends {len(appends)} events; one commit takes 1 to {APPENDS_MAX}. Send several requests."
        )
    size = sum(len(bytes(each.data)) for each in appends)
    if size > APPENDS_BYTES_MAX:
        raise InvalidAppends(
            f"The data of the {len(appends)} events are {size} bytes; one commit takes {APPENDS_BYTES_MAX}. "
            "Send several requests."
        )


def refusal_of_append(index: int, append: StreamAppend, refusal: IronflowError) -> IronflowError:
    """The refusal of one event as that of the whole request: of the same class, with the place of the event."""
    return type(refusal)(
        f"Event {index} of the request, for the stream of {append.entity_id[:80]!r}, is refused, so nothing was "
        f"appended: {refusal.message}",
        details={**refusal.details, "index": index, "entity_id": append.entity_id},
    )


def append_many_scope(index: int) -> str:
    """Where the key of a request is remembered for its event at `index`."""
    return f"append_many:{index}"


def check_same_appends(duplicates: Sequence[bool], goes_on: bool, key: str) -> None:
    """duplicates: whether each event was recorded under the key before. goes_on: the first request had more.

    Raises IdempotencyKeyReused.
    """
    if any(duplicates) and (goes_on or not all(duplicates)):
        raise IdempotencyKeyReused(
            f"The idempotency key {key[:80]!r} was used for a request with another number of events. Nothing was "
            "appended. Send another key for other events, or the same events to get the first answer again."
        )


def answer_bytes(events: list[Record]) -> int:
    """About how large an answer with these events is."""
    return sum(len(each.data) + len(each.metadata or "") + ABOUT_BYTES for each in events)


def check_answer_bytes(bytes_so_far: int, events: int) -> None:
    """Raises AnswerTooLarge."""
    if bytes_so_far > ANSWER_BYTES_MAX:
        raise AnswerTooLarge(
            f"The first {events} of the events asked for have more than {ANSWER_BYTES_MAX} bytes, too many for one "
            "answer. Read them in pages: ask for fewer with `limit`, and go on with `from_version`."
        )


def check_state_bytes(state_bytes: int, state_bytes_max: int) -> None:
    """Raises SnapshotTooLarge."""
    if state_bytes > state_bytes_max:
        raise SnapshotTooLarge(
            f"The state is {state_bytes} bytes; this server accepts {state_bytes_max}. "
            "Keep less in it, or raise the server's limit."
        )


def check_snapshot(head: Head, entity_type: str, entity_version: int) -> None:
    """entity_type: empty for whatever the stream's is. Raises EntityTypeConflict, InvalidSnapshot."""
    if entity_type and entity_type != head.entity_type:
        raise EntityTypeConflict(
            f"Entity {head.entity_id!r} has the type {head.entity_type!r}, the snapshot says {entity_type!r}."
        )
    if not 1 <= entity_version <= head.version:
        raise InvalidSnapshot(
            f"entity_version is {entity_version}, but entity {head.entity_id!r} has the versions 1 to {head.version}. "
            "A snapshot is what the entity was after one of them."
        )

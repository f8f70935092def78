"""What is decided about reading streams and keeping snapshots; pure. Appending is decided in the events feature."""

from ironflow.features.events.contract import EntityTypeConflict
from ironflow.features.streams.contract import AnswerTooLarge, InvalidRead, InvalidSnapshot, SnapshotTooLarge
from ironflow.log.heads import Head
from ironflow.log.record import Record

LIST_DEFAULT = 1000
HISTORY_DEFAULT = 50
# Clients take answers of up to 32 MiB; the rest is left for what stands around the data.
ANSWER_BYTES_MAX = 30 * 1024 * 1024
# What an event takes in an answer beside its data: ids, names, times.
ABOUT_BYTES = 400
# Greater than every version.
NEWEST = 2**63 - 1


def check_direction(direction: str) -> bool:
    """Whether to read backward. Raises InvalidRead."""
    if direction not in ("", "forward", "backward"):
        raise InvalidRead(f"{direction[:40]!r} is no direction: write `forward` or `backward`.")
    return direction == "backward"


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

"""What is decided about projections; pure. Source: protocol/projections.md, docs/reference/projections.md."""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import timedelta

from ironflow.base.json import read_json
from ironflow.base.path import MISSING, compiled_path, key_text
from ironflow.base.pattern import compiled, is_pattern
from ironflow.base.time import Millis
from ironflow.features.projections.contract import (
    GLOBAL,
    InvalidProjection,
    InvalidSave,
    LeaseLost,
    NotWaitable,
    RebuildUnderWay,
    StaleSave,
    WrongMode,
)

LEASE_MS = 30_000
LEASE = timedelta(milliseconds=LEASE_MS)
# The stream that feeds a runner without a lease renews its seat each heartbeat; a node that is gone lets go by itself.
SEAT_MS = 45_000
# Deliveries of one event before the projection is shown as failing: one, and three retries.
TRIES_MAX = 4
RETRY_MS, RETRY_MS_MAX = 1_000, 60_000
PATTERNS_MAX = 100
PARTITION_BYTES_MAX = 512
BATCH, BATCH_MAX = 100, 1_000

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_PATH = re.compile(r"[^\x00-\x1f]{1,256}")


@dataclass(frozen=True, slots=True)
class ProjectionRow:
    """A projection as it is kept.

    mode: managed or external. side: the version that readers see; its states are kept under it.
    cursor: below and at it every event of the projection is saved. rebuild_id: of the rebuild under way, or empty.
    sent_up_to: the last position that was sent to runners without a lease; a save beyond it is refused. None where
    that is not watched.
    tries: deliveries of the event at tries_position with which the cursor did not move; the next not before retry_at.
    lease_token: empty when nobody has the lease. seat: the stream that feeds a runner without a lease.
    """

    environment: str
    name: str
    mode: str
    version: int
    events: tuple[str, ...]
    partition_key: str
    description: str
    paused: bool
    side: str
    cursor: int
    rebuild_id: str
    sent_up_to: int | None
    error_message: str
    tries_position: int
    tries: int
    retry_at: Millis
    lease_token: str
    lease_epoch: int
    lease_ends_at: Millis
    seat: str
    seat_ends_at: Millis
    created_at: Millis
    updated_at: Millis


@dataclass(frozen=True, slots=True)
class RebuildRow:
    """A rebuild. status: running, completed or cancelled. partition_key: None for all of them.

    start_position: the position before the first event to fold. target: where it has caught up.
    events_total, events_done: events to look at, and those that are saved.
    """

    id: str
    environment: str
    name: str
    side: str
    status: str
    partition_key: str | None
    from_event_id: str
    to_event_id: str
    start_position: int
    target: int
    cursor: int
    events_total: int
    events_done: int
    error: str
    started_at: Millis
    ended_at: Millis | None


@dataclass(frozen=True, slots=True)
class Feed:
    """What runners are fed now: the version being built while there is one, else the one that readers see.

    partition_key: only events of that one, None for all. until: no event after it, None for no end.
    """

    side: str
    cursor: int
    partition_key: str | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    mode: str
    version: int
    events: tuple[str, ...]
    partition_key: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease as a runner names it."""

    token: str
    epoch: int


def check_registration(name: str, registration: Registration) -> None:
    """Raises InvalidProjection, InvalidPattern."""
    if not _NAME.fullmatch(name):
        raise InvalidProjection(
            f"{name[:60]!r} is no name of a projection: write 1 to 128 letters, digits, `_`, `-`, `.` or `:`."
        )
    if registration.mode not in ("managed", "external"):
        raise InvalidProjection(f"mode is {registration.mode[:60]!r}; it is `managed` or `external`.")
    if not 1 <= len(registration.events) <= PATTERNS_MAX:
        raise InvalidProjection(f"events names {len(registration.events)} events; 1 to {PATTERNS_MAX} are possible.")
    for event in registration.events:
        if not event or len(event.encode()) > 256:
            raise InvalidProjection(f"{event[:60]!r} is no event name or pattern: write 1 to 256 bytes.")
        if is_pattern(event):
            compiled(event)
    if registration.partition_key and not _PATH.fullmatch(registration.partition_key):
        raise InvalidProjection("partition_key is no path: write one such as `data.customerId`.")


def registered(environment: str, name: str, asked: Registration, side: str, now: Millis) -> ProjectionRow:
    """A new projection. side: under which its states will be kept."""
    return ProjectionRow(
        environment=environment,
        name=name,
        mode=asked.mode,
        version=asked.version,
        events=asked.events,
        partition_key=asked.partition_key,
        description=asked.description,
        paused=False,
        side=side,
        cursor=0,
        rebuild_id="",
        sent_up_to=None,
        error_message="",
        tries_position=0,
        tries=0,
        retry_at=0,
        lease_token="",
        lease_epoch=0,
        lease_ends_at=0,
        seat="",
        seat_ends_at=0,
        created_at=now,
        updated_at=now,
    )


def decide_registration(found: ProjectionRow, asked: Registration, now: Millis) -> ProjectionRow:
    """The projection after it is registered again; the same row when nothing is different.

    Cursor and states stay, so a changed definition holds for events that are not saved yet.
    """
    same = (found.mode, found.version, found.events, found.partition_key)
    if same == (asked.mode, asked.version, asked.events, asked.partition_key):
        return found
    return replace(
        found,
        mode=asked.mode,
        version=asked.version,
        events=asked.events,
        partition_key=asked.partition_key,
        updated_at=now,
    )


def status_of(projection: ProjectionRow) -> str:
    """The status that clients see; what stops a projection comes first."""
    if projection.paused:
        return "paused"
    if projection.rebuild_id:
        return "rebuilding"
    return "error" if projection.error_message else "active"


def partition_of(path: str, data: str) -> str:
    """The partition of an event: the scalar at `path` in its data (JSON text), `__global__` for none.

    A key over 512 bytes is its hash. Source: protocol/projections.md 5.
    """
    if not path:
        return GLOBAL
    value = compiled_path(path)(read_json(data))
    text = "" if value is MISSING else key_text(value)
    if len(text.encode()) > PARTITION_BYTES_MAX:
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    return text or GLOBAL


def partition_named(text: str) -> str:
    """The partition that a request means; empty is the global one. Raises InvalidSave for one that no event has."""
    if len(text.encode()) > PARTITION_BYTES_MAX:
        raise InvalidSave(
            f"the partition key has {len(text.encode())} bytes; no event has one over {PARTITION_BYTES_MAX}."
        )
    return text or GLOBAL


def feed_of(projection: ProjectionRow, rebuild: RebuildRow | None) -> Feed:
    if rebuild is None:
        return Feed(projection.side, projection.cursor)
    return Feed(rebuild.side, rebuild.cursor, rebuild.partition_key, rebuild.target)


# Leases.


def is_leased(projection: ProjectionRow, now: Millis) -> bool:
    return bool(projection.lease_token) and projection.lease_ends_at > now


def decide_acquire(projection: ProjectionRow, token: str, now: Millis) -> ProjectionRow | None:
    """The projection with its lease given to `token`; None while another runner holds it.

    The epoch rises with every grant, so whoever held the lease before can write no more.
    """
    if is_leased(projection, now):
        return None
    return replace(
        projection,
        lease_token=token,
        lease_epoch=projection.lease_epoch + 1,
        lease_ends_at=now + LEASE_MS,
        seat="",
        seat_ends_at=0,
    )


def check_lease(projection: ProjectionRow, held: Held | None, now: Millis) -> None:
    """Raises LeaseLost for a stale lease, and for a runner without one beside a runner that holds it.

    A lease whose time is over still counts as long as nobody else took it: nothing was written since.
    """
    if held is not None:
        if (held.token, held.epoch) != (projection.lease_token, projection.lease_epoch):
            raise LeaseLost("projection lease lost: another runner has it, or the projection is built anew.")
    elif is_leased(projection, now):
        raise LeaseLost("projection lease lost: a runner with a lease feeds this projection.")


def without_lease(projection: ProjectionRow) -> ProjectionRow:
    """Nobody holds the lease any more, and whoever held it can write no more."""
    return replace(projection, lease_token="", lease_epoch=projection.lease_epoch + 1, lease_ends_at=0, seat="")


# Saving.


def check_mode(projection: ProjectionRow, wanted: str) -> None:
    """Raises WrongMode. wanted: the mode whose runners may do this."""
    if projection.mode != wanted:
        does = {"managed": "saves states", "external": "acknowledges events"}
        raise WrongMode(
            f"{projection.name!r} is a projection of mode {projection.mode}, which {does[projection.mode]}."
        )


def check_position(projection: ProjectionRow, position: int, head: int, held: Held | None) -> None:
    """Whether a save may name this position.

    Raises InvalidSave for one that the log does not have, StaleSave for one that was not sent for this version.
    Source: docs/internals/decisions/0018.
    """
    if not 0 <= position <= head:
        raise InvalidSave(f"last_event_seq is {position}; the log ends at {head}.")
    if held is None and projection.sent_up_to is not None and position > projection.sent_up_to:
        raise StaleSave(
            f"Event {position} was not sent yet for the version of {projection.name!r} that is built now. "
            "Load the state again and go on from there."
        )


def is_repeat(position: int, own_position: int, cursor: int) -> bool:
    """Whether a save brings nothing new: the partition, or all of the projection, is saved up to there already."""
    return position <= max(own_position, cursor)


def decide_saved(projection: ProjectionRow, cursor: int, now: Millis) -> ProjectionRow:
    """The projection after an accepted save. cursor: of the feed afterwards.

    An error is over when the cursor passes its event, which was the first after it; saves of other partitions do not
    end it.
    """
    passed = bool(projection.tries) and cursor >= projection.tries_position
    building = bool(projection.rebuild_id)
    return replace(
        projection,
        cursor=projection.cursor if building else max(projection.cursor, cursor),
        # What was in flight for another version has been refused by now; a rebuild is watched to its end.
        sent_up_to=projection.sent_up_to if building else None,
        error_message="" if passed else projection.error_message,
        tries_position=0 if passed else projection.tries_position,
        tries=0 if passed else projection.tries,
        retry_at=0 if passed else projection.retry_at,
        updated_at=now,
    )


def decide_keeping(newest_at: Millis, kept_at: Millis, every_ms: int, days: float) -> bool:
    """Whether a state stays in the history when a newer one takes its place.

    newest_at: when it was saved; kept_at: when the last one that stays was. days: how long states stay, 0 for none.
    """
    return days > 0 and newest_at - kept_at >= every_ms


# Delivering.


def decide_seat(projection: ProjectionRow, stream: str, now: Millis) -> ProjectionRow | None:
    """The projection when `stream` feeds its runner, which has no lease; None while another stream or a lease does."""
    if is_leased(projection, now) or (projection.seat not in ("", stream) and projection.seat_ends_at > now):
        return None
    return replace(projection, seat=stream, seat_ends_at=now + SEAT_MS)


def without_seat(projection: ProjectionRow) -> ProjectionRow:
    return replace(projection, seat="", seat_ends_at=0)


def is_fed(projection: ProjectionRow, held: Held | None, stream: str, now: Millis) -> bool:
    """Whether a runner gets events now. stream: its id, empty for a poll."""
    if projection.paused or projection.retry_at > now:
        return False
    if held is not None:
        return True
    return not is_leased(projection, now) and (projection.seat in ("", stream) or projection.seat_ends_at <= now)


def sent(projection: ProjectionRow, position: int) -> ProjectionRow:
    """The projection when events up to `position` go to a runner without a lease."""
    return replace(projection, sent_up_to=max(projection.sent_up_to or 0, position))


def decide_delivery(projection: ProjectionRow, position: int, event: str, now: Millis) -> ProjectionRow:
    """The projection when its next event is delivered once more without having been saved.

    event: its id and name for the error. From the fourth delivery on it is shown as failing, and delivered ever slower.
    """
    tries = projection.tries + 1 if position == projection.tries_position else 2
    failing = tries >= TRIES_MAX
    message = f"event {event} was delivered {tries} times and not saved" if failing else projection.error_message
    return replace(
        projection,
        tries_position=position,
        tries=tries,
        error_message=message,
        retry_at=now + retry_delay_ms(tries) if failing else 0,
        updated_at=now if failing else projection.updated_at,
    )


def retry_delay_ms(tries: int) -> int:
    """How long an event rests after its delivery number `tries` before it is delivered again."""
    return min(RETRY_MS * 2 ** min(tries - TRIES_MAX, 10), RETRY_MS_MAX) if tries >= TRIES_MAX else 0


def decide_resumed(projection: ProjectionRow, now: Millis) -> ProjectionRow:
    """The projection when it is resumed: it is fed at once, and an error is forgotten."""
    return replace(projection, paused=False, error_message="", tries_position=0, tries=0, retry_at=0, updated_at=now)


def batch_of(asked: int) -> int:
    return min(asked or BATCH, BATCH_MAX)


# Rebuilding.


def check_rebuild(
    projection: ProjectionRow, partition: str, start: int, target: int, from_event_id: str, to_event_id: str
) -> None:
    """Raises RebuildUnderWay, WrongMode, InvalidProjection."""
    if projection.rebuild_id:
        raise RebuildUnderWay(f"{projection.name!r} is being rebuilt already. Wait for it, or cancel it.")
    if partition and projection.mode != "managed":
        raise WrongMode(f"{projection.name!r} is of mode {projection.mode}: it has no partitions to rebuild.")
    if partition and to_event_id:
        raise InvalidProjection("to_event_id and partition exclude each other: a partition catches up with the others.")
    if from_event_id and to_event_id and start >= target:
        raise InvalidProjection("The event to start from comes after the one to end with.")


def decide_rebuild(projection: ProjectionRow, rebuild: RebuildRow, now: Millis) -> ProjectionRow:
    """The projection when a rebuild begins: runners lose their lease and start again with the new version."""
    return replace(
        without_lease(projection),
        rebuild_id=rebuild.id,
        sent_up_to=rebuild.start_position,
        error_message="",
        tries_position=0,
        tries=0,
        retry_at=0,
        updated_at=now,
    )


def decide_cancelled(projection: ProjectionRow, now: Millis) -> ProjectionRow:
    """The projection when its rebuild is dropped: runners start again where readers are."""
    return replace(without_lease(projection), rebuild_id="", sent_up_to=projection.cursor, error_message="",
                   tries_position=0, tries=0, retry_at=0, updated_at=now)  # fmt: skip


def decide_swapped(projection: ProjectionRow, rebuild: RebuildRow, now: Millis) -> ProjectionRow:
    """The projection when its rebuild has caught up: the new version is what readers see. Runners just go on."""
    whole = rebuild.partition_key is None
    return replace(
        projection,
        side=rebuild.side if whole else projection.side,
        cursor=rebuild.cursor if whole else projection.cursor,
        rebuild_id="",
        sent_up_to=None,
        updated_at=now,
    )


def remaining_ms(rebuild: RebuildRow, now: Millis) -> int | None:
    """How long a rebuild will still take at its speed so far; None before anything is done."""
    done, left = rebuild.events_done, rebuild.events_total - rebuild.events_done
    return (now - rebuild.started_at) * max(left, 0) // done if done else None


# Waiting.


def check_partition_known(projection: ProjectionRow, partition: str) -> None:
    """Raises NotWaitable where nobody keeps the places of partitions."""
    if partition not in ("", GLOBAL) and projection.mode != "managed":
        raise NotWaitable(f"{projection.name!r} is of mode {projection.mode}, which has no partitions to wait for.")


def check_waitable(projection: ProjectionRow) -> None:
    """Raises NotWaitable for a projection that is not there yet and will not move in what readers see."""
    if projection.paused:
        raise NotWaitable(f"{projection.name!r} is paused and does not move. Resume it first.")
    if projection.rebuild_id:
        raise NotWaitable(f"{projection.name!r} is being rebuilt; readers see the old version until it has caught up.")

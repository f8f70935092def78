"""What a projection is, and which partition an event of it belongs to."""

import hashlib
import re
from dataclasses import dataclass, replace

from ironflow.base.json import read_json
from ironflow.base.path import MISSING, compiled_path, key_text
from ironflow.base.pattern import compiled, is_pattern
from ironflow.base.time import Millis
from ironflow.features.projections.contract import (
    GLOBAL,
    GenerationReplaced,
    InvalidProjection,
    InvalidSave,
)

PATTERNS_MAX = 100
PARTITION_BYTES_MAX = 512
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_PATH = re.compile(r"[^\x00-\x1f]{1,256}")


@dataclass(frozen=True, slots=True)
class ProjectionRow:
    """A projection as it is stored.

    mode: managed or external. generation: the version that readers see; its states are kept under it.
    cursor: below and at it every event of the projection is saved. rebuild_id: of the rebuild under way, or empty.
    sent_up_to: the last position that was sent to runners without a lease; a save beyond it is refused. None where
    that is not watched.
    tries: deliveries of the event at tries_position with which the cursor did not move; the next not before retry_at.
    lease_token: empty without a lease. implicit_lease: the stream that feeds a runner without a lease.
    without_key: events up to the cursor that lack the partition key, and so are in the global partition.
    feeds_both: the last runner with a lease goes on feeding what readers see during a rebuild.
    """

    environment: str
    name: str
    mode: str
    version: int
    events: tuple[str, ...]
    partition_key: str
    description: str
    paused: bool
    generation: str
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
    implicit_lease: str
    implicit_lease_ends_at: Millis
    created_at: Millis
    updated_at: Millis
    without_key: int = 0
    feeds_both: bool = False


@dataclass(frozen=True, slots=True)
class RebuildRow:
    """A rebuild. status: running, completed or cancelled. partition_key: None for all of them.

    start_position: the position before the first event to fold. target: where it has caught up.
    events_total, events_done: events to look at, and those that are saved. without_key: as of the projection.
    """

    id: str
    environment: str
    name: str
    generation: str
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
    without_key: int = 0


@dataclass(frozen=True, slots=True)
class Feed:
    """What runners are fed now: the version being built while there is one, else the one that readers see.

    partition_key: only events of that one, None for all. until: no event after it, None for no end.
    """

    generation: str
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


def registered(environment: str, name: str, asked: Registration, generation: str, now: Millis) -> ProjectionRow:
    """A new projection. generation: under which its states will be kept."""
    return ProjectionRow(
        environment=environment,
        name=name,
        mode=asked.mode,
        version=asked.version,
        events=asked.events,
        partition_key=asked.partition_key,
        description=asked.description,
        paused=False,
        generation=generation,
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
        implicit_lease="",
        implicit_lease_ends_at=0,
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
        return Feed(projection.generation, projection.cursor)
    return Feed(rebuild.generation, rebuild.cursor, rebuild.partition_key, target_of(projection, rebuild))


def feed_named(projection: ProjectionRow, rebuild: RebuildRow | None, generation: str) -> Feed:
    """What a runner is fed that names a version, beside another feed of it; without a name as `feed_of`.

    Raises GenerationReplaced.
    """
    if not generation:
        return feed_of(projection, rebuild)
    # A partition that was rebuilt has taken its place in the same version: the state that a runner has of it is old.
    if rebuild is None or generation != projection.generation:
        raise GenerationReplaced(f"{projection.name!r} was built anew. Feed the version that readers see now.")
    return Feed(projection.generation, projection.cursor)


def target_of(projection: ProjectionRow, rebuild: RebuildRow) -> int:
    """Where a rebuild has caught up: not before what readers see, which may be fed meanwhile."""
    return rebuild.target if rebuild.to_event_id else max(rebuild.target, projection.cursor)

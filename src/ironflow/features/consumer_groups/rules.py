"""What is decided about consumer groups; pure. Source: docs/reference/consumer_groups.md, behaviour.md 8."""

import re
from dataclasses import dataclass
from typing import assert_never

import msgspec
from msgspec.structs import replace

from ironflow.base.json import Json, check_payload, json_text
from ironflow.base.time import Millis
from ironflow.features.consumer_groups.contract import (
    DELAY_MS_MAX,
    INFLIGHT_MAX,
    REDELIVERIES_MAX,
    AckMode,
    AckType,
    BackpressureMode,
    CreateGroup,
    GroupChange,
    GroupStatus,
    InvalidAck,
    InvalidGroup,
)
from ironflow.log.filters import event_filter
from ironflow.log.record import Record
from ironflow.log.topics import topic_pattern

NAMESPACE = "default"
MAX_INFLIGHT = 100
MAX_REDELIVERIES = 3
REDELIVER_DELAY_MS = 5_000
ACK_WAIT_MS = 30_000
# A group whose members reject everything reads no further events once this many deliveries wait.
WAITING_MAX = 10_000
# How long a membership lasts after its server last renewed it.
MEMBER_LEASE_MS = 15_000
# Deliveries queued for a member's connection: with `block` a slow connection holds the group up almost at once.
AHEAD_MAX = {"block": 64, "buffer": 1_000, "drop": INFLIGHT_MAX}
AHEAD_BYTES_MAX = 8 * 1024 * 1024
METADATA_BYTES_MAX = 64 * 1024
# The end of the year 9999: a delivery with a member, whose server knows the deadline, see `Member.overdue`.
NEVER = 253_402_300_799_000
# A delivery with a member that does not settle it: it ends once its arrival is confirmed, or when the member leaves.
AUTO = NEVER + 1
# Events of an `auto` member whose arrival is not confirmed; with more, the oldest count as arrived.
UNCONFIRMED_MAX = 500

SPENT = "redeliveries spent"
TERMINATED = "terminated by the consumer"

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_FIELDS = {
    "pattern": "pattern",
    "filter_expr": "filter_expr",
    "filterExpr": "filter_expr",
    "ack_mode": "ack_mode",
    "ackMode": "ack_mode",
    "backpressure": "backpressure",
    "max_inflight": "max_inflight",
    "maxInflight": "max_inflight",
    "max_redeliveries": "max_redeliveries",
    "maxRedeliveries": "max_redeliveries",
    "redeliver_delay_ms": "redeliver_delay_ms",
    "redeliverDelayMs": "redeliver_delay_ms",
    "ack_wait_ms": "ack_wait_ms",
    "ackWaitMs": "ack_wait_ms",
    "metadata": "metadata",
    "status": "status",
}
_UNSET = {
    "pattern": "",
    "filter_expr": "",
    "ack_mode": AckMode.AUTO,
    "backpressure": BackpressureMode.BUFFER,
    "max_inflight": 0,
    "max_redeliveries": 0,
    "redeliver_delay_ms": 0,
    "ack_wait_ms": 0,
    "metadata": None,
    "status": GroupStatus.ACTIVE,
}


class Group(msgspec.Struct, frozen=True):
    """A group as it is stored. position: everything up to it was handed out, dropped or does not fit.

    version: rises with every change of the group. metadata: JSON text.
    """

    id: str
    environment: str
    namespace: str
    name: str
    pattern: str
    filter_expr: str
    ack_mode: str
    backpressure: str
    max_inflight: int
    max_redeliveries: int
    redeliver_delay_ms: int
    ack_wait_ms: int
    metadata: str | None
    status: str
    position: int
    dropped: int
    version: int
    created_at: Millis
    updated_at: Millis

    @property
    def is_manual(self) -> bool:
        return self.ack_mode == AckMode.MANUAL


class Delivery(msgspec.Struct, frozen=True):
    """An event that the group has begun and not settled.

    attempt: deliveries so far, from 1; 0 to start again. member_id: its holder, empty while it waits.
    due_at: when another member may get it.
    """

    group_id: str
    position: int
    event_id: str
    attempt: int
    member_id: str
    due_at: Millis


@dataclass(frozen=True, slots=True)
class Ack:
    """The member is done with it."""


@dataclass(frozen=True, slots=True)
class Nak:
    """The member asks for a redelivery. delay_ms: None for the group's own delay."""

    delay_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """The member asks that it is never delivered again."""


@dataclass(frozen=True, slots=True)
class Extend:
    """The member still works on it."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The member did not settle it in time."""


@dataclass(frozen=True, slots=True)
class Left:
    """The member left. was_sent: it may have received the event; otherwise this does not count as an attempt."""

    was_sent: bool = True


Outcome = Ack | Nak | Term | TimedOut | Left


@dataclass(frozen=True, slots=True)
class Done:
    """The delivery is over."""


@dataclass(frozen=True, slots=True)
class Redeliver:
    """To be delivered again. attempt: deliveries that count so far."""

    at: Millis
    attempt: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No more deliveries: the event becomes a dead letter."""

    reason: str


Verdict = Done | Redeliver | GiveUp


def decide_redelivery(delivery: Delivery, outcome: Outcome, group: Group, now: Millis) -> Verdict:
    """Whether a delivery is done, tried again (and when, at >= now), or dead.

    An event is delivered at most 1 + max_redeliveries times. Source: docs/reference/consumer_groups.md, "Redelivery".
    """
    match outcome:
        case Ack():
            return Done()
        case Term():
            return GiveUp(TERMINATED)
        case Left(was_sent=False):
            return Redeliver(at=now, attempt=delivery.attempt - 1)
        case _ if delivery.attempt > group.max_redeliveries:
            return GiveUp(f"{SPENT}: {_why(outcome)}")
        case Nak(delay_ms=delay_ms):
            delay_ms = group.redeliver_delay_ms if delay_ms is None else delay_ms
            return Redeliver(at=now + delay_ms, attempt=delivery.attempt)
        case TimedOut():
            return Redeliver(at=now + group.redeliver_delay_ms, attempt=delivery.attempt)
        case Left():
            return Redeliver(at=now, attempt=delivery.attempt)
        case _:
            assert_never(outcome)


def _why(outcome: Outcome) -> str:
    match outcome:
        case Nak():
            return "rejected by the consumer"
        case TimedOut():
            return "not acknowledged in time"
        case Left():
            return "the consumer was lost"
        case Ack() | Term():
            raise ValueError("an acknowledged delivery is not given up for spent redeliveries")
        case _:
            assert_never(outcome)


def decide_ack(ack_type: AckType | None, delay_ms: int | None) -> Ack | Nak | Term:
    """The outcome that an ack means. delay_ms: None for the group's own delay. Raises InvalidAck."""
    if delay_ms is not None and not 0 <= delay_ms <= DELAY_MS_MAX:
        raise InvalidAck(f"A delay of {delay_ms} ms is not possible; write 0 to {DELAY_MS_MAX}.")
    if delay_ms and ack_type is not AckType.NAK:
        raise InvalidAck("Only a nak has a delay: leave it out, or send a nak.")
    match ack_type:
        case AckType.ACK:
            return Ack()
        case AckType.NAK:
            return Nak(delay_ms)
        case AckType.TERM:
            return Term()
        case None:
            raise InvalidAck("The ack has no type: `ack`, `nak` or `term`.")
        case _:
            assert_never(ack_type)


def decide_capacity(group: Group, in_flight: int, waiting: int, wanted: int) -> tuple[int, int]:
    """(how many deliveries members may be given now, how many of those may be new events).

    in_flight: held by members. waiting: to be delivered again. wanted: what members have capacity for.
    Source: docs/reference/consumer_groups.md, "Flow".
    """
    if group.status != GroupStatus.ACTIVE:
        return 0, 0
    capacity = max(min(wanted, group.max_inflight - in_flight), 0)
    return capacity, capacity if waiting < WAITING_MAX else 0


def decide_drop(group: Group, in_flight: int) -> bool:
    """Whether new events are skipped: the limit in flight is reached and the group drops what exceeds it."""
    full = in_flight >= group.max_inflight
    return group.status == GroupStatus.ACTIVE and group.backpressure == BackpressureMode.DROP and full


def shares(capacities: list[tuple[str, int]], limit: int) -> list[str]:
    """The members that get the next deliveries, in order: each in turn while it has capacity.

    capacities: (member id, capacity), the longest waiting first.
    """
    given: list[str] = []
    left = [(member, capacity) for member, capacity in capacities if capacity > 0]
    while left and len(given) < limit:
        given += [member for member, _ in left[: limit - len(given)]]
        left = [(member, capacity - 1) for member, capacity in left if capacity > 1]
    return given


def extended_due_at(group: Group, now: Millis) -> Millis:
    """When a delivery whose handler still works may be given to another member, unless it is extended again."""
    return now + group.ack_wait_ms + group.redeliver_delay_ms


def was_extended(delivery: Delivery, group: Group, now: Millis) -> bool:
    """Whether the deadline of a delivery was extended, at any server, and has not come."""
    return delivery.due_at < NEVER and delivery.due_at - group.redeliver_delay_ms > now


def is_delivered(group: Group, record: Record) -> bool:
    """Whether the group delivers the record. Messages to topics have no namespace and reach groups of all of them."""
    if record.environment != group.environment or not topic_pattern(group.pattern).fits(record):
        return False
    if not record.is_of(group.namespace):
        return False
    return not group.filter_expr or event_filter(group.filter_expr).fits(record)


def check_name(name: str, what: str) -> None:
    """Raises InvalidGroup. what: such as `group`."""
    if not _NAME.fullmatch(name):
        raise InvalidGroup(
            f"{name[:60]!r} is not a valid name of a {what}: write 1 to 128 letters, digits, `_`, `-`, `.` or `:`."
        )


def decide_creation(group_id: str, environment: str, request: CreateGroup, position: int, now: Millis) -> Group:
    """A new group that begins after `position`. Raises InvalidGroup, InvalidPattern, InvalidExpression."""
    namespace = request.namespace or NAMESPACE
    check_name(request.name, "group")
    check_name(namespace, "namespace")
    group = Group(
        id=group_id,
        environment=environment,
        namespace=namespace,
        name=request.name,
        pattern=request.pattern,
        filter_expr=request.filter_expr,
        ack_mode=request.ack_mode.value,
        backpressure=request.backpressure.value,
        max_inflight=request.max_inflight or MAX_INFLIGHT,
        max_redeliveries=request.max_redeliveries or MAX_REDELIVERIES,
        redeliver_delay_ms=request.redeliver_delay_ms or REDELIVER_DELAY_MS,
        ack_wait_ms=request.ack_wait_ms or ACK_WAIT_MS,
        metadata=_metadata(request.metadata),
        status=GroupStatus.ACTIVE.value,
        position=position,
        dropped=0,
        version=1,
        created_at=now,
        updated_at=now,
    )
    check_group(group)
    return group


def decide_update(group: Group, change: GroupChange, mask: str, now: Millis) -> Group:
    """The group after a change. mask: names of fields by comma, in either spelling; empty for all that are given.

    A named field that is not given gets its default; max_redeliveries becomes 0.
    Raises InvalidGroup, InvalidPattern, InvalidExpression.
    """
    values = {name: value for name in _UNSET if (value := getattr(change, name)) is not None}
    if mask:
        named = [path.strip().removeprefix("group.") for path in mask.split(",") if path.strip()]
        unknown = [path for path in named if path not in _FIELDS]
        if unknown:
            raise InvalidGroup(f"{unknown[0]!r} cannot be updated; {', '.join(_UNSET)} can.")
        values = {field: values.get(field, _UNSET[field]) for field in (_FIELDS[path] for path in named)}
    if "metadata" in values:
        values["metadata"] = _metadata(values["metadata"])
    defaults = (
        ("max_inflight", MAX_INFLIGHT),
        ("redeliver_delay_ms", REDELIVER_DELAY_MS),
        ("ack_wait_ms", ACK_WAIT_MS),
    )
    for name, default in defaults:
        if values.get(name) == 0:
            values[name] = default
    if values.get("status") is GroupStatus.DELETED:
        raise InvalidGroup("A group is not deleted by its status; delete it.")
    plain = {name: getattr(value, "value", value) for name, value in values.items()}
    changed = replace(group, **plain, version=group.version + 1, updated_at=now)
    check_group(changed)
    return changed


def check_group(group: Group) -> None:
    """Raises InvalidGroup, InvalidPattern, InvalidExpression."""
    topic_pattern(group.pattern)
    if group.filter_expr:
        event_filter(group.filter_expr)
    limits = (
        ("max_inflight", group.max_inflight, 1, INFLIGHT_MAX),
        ("max_redeliveries", group.max_redeliveries, 0, REDELIVERIES_MAX),
        ("redeliver_delay_ms", group.redeliver_delay_ms, 1, DELAY_MS_MAX),
        ("ack_wait_ms", group.ack_wait_ms, 1, DELAY_MS_MAX),
    )
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise InvalidGroup(f"{name} is {value}; write {least} to {most}.")


def _metadata(given: Json | None) -> str | None:
    if given is None:
        return None
    if not bytes(given).lstrip().startswith(b"{"):
        raise InvalidGroup("The metadata of a group is a JSON object.")
    return json_text(check_payload(given, "The metadata", METADATA_BYTES_MAX))

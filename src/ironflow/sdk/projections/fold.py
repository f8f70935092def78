"""Folding a batch, partition by partition: what the handler makes of events, up to one at which it fails."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ironflow.base.errors import IronflowError
from ironflow.sdk.projections.definition import ProjectionDefinition, ProjectionEvent
from ironflow.sdk.user_code import call as usercode
from ironflow.sdk.values.codec import CannotDecode, Codec
from ironflow.sdk.values.payload import Raw, from_payload, to_payload
from ironflow.sdk.values.upcasting import NO_UPCASTERS, UpcasterRegistry


class HandlerFailed(IronflowError):
    """The projection's handler raised. Its event comes again."""

    code = "PROJECTION_HANDLER_FAILED"

    def __init__(self, message: str | None = None, *, event: ProjectionEvent | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.event = event


@dataclass(frozen=True, slots=True)
class Folded:
    """state: after the events up to `last`, None when not even the first could be folded. failure: of the next one."""

    state: Raw | None
    last: ProjectionEvent | None
    failure: HandlerFailed | None = None


def by_partition(events: Iterable[ProjectionEvent]) -> dict[str, list[ProjectionEvent]]:
    """The events of each partition in order, the partitions in the order in which they first come."""
    found: dict[str, list[ProjectionEvent]] = {}
    for event in events:
        found.setdefault(event.partition, []).append(event)
    return found


async def fold(
    definition: ProjectionDefinition,
    before: Raw | None,
    events: list[ProjectionEvent],
    upcasters: UpcasterRegistry = NO_UPCASTERS,
    codec: Codec | None = None,
) -> Folded:
    """The state of one partition after `events`. before: the saved state, None to begin with the initial one.

    upcasters: bring events to their latest versions before the handler sees them; one that raises fails its event.
    codec: decodes events and states, and encodes the state.

    The handler works on a copy: what it did to the state before it raised is not kept.
    """
    folded, failed = await _run(definition, before, events, upcasters, codec)
    if failed is None:
        return Folded(folded, events[-1])
    place = events.index(failed.event) if failed.event is not None else 0
    if place == 0:
        return Folded(None, None, failed)
    # The failed call may have changed what it was given, so the events before it are folded again.
    folded, again = await _run(definition, before, events[:place], upcasters, codec)
    return Folded(None, None, again) if again is not None else Folded(folded, events[place - 1], failed)


async def _run(
    definition: ProjectionDefinition,
    before: Raw | None,
    events: list[ProjectionEvent],
    upcasters: UpcasterRegistry,
    codec: Codec | None,
) -> tuple[Raw | None, HandlerFailed | None]:
    assert definition.initial_state is not None
    event = events[0]
    try:
        state = definition.initial_state() if before is None else from_payload(_plain(before, codec))
    except CannotDecode as fault:
        return None, failure(definition, event, fault)
    for event in events:
        shown, fault = await _latest(upcasters, event, codec)
        if fault is None:
            state, fault = await usercode.call(definition.handler, definition.arguments(state, shown), on_loop=True)
        if fault is None and state is None:
            fault = ValueError("the handler returned None; it has to return the state, also when nothing changes")
        if fault is not None:
            return None, failure(definition, event, fault)
    try:
        saved = to_payload(state, f"the state of projection {definition.name!r}")
        return saved if codec is None else codec.encoded(saved), None
    except IronflowError as fault:
        return None, failure(definition, event, fault)


def _plain(state: Raw, codec: Codec | None) -> Raw:
    return state if codec is None else codec.decoded(state)


async def _latest(
    upcasters: UpcasterRegistry, event: ProjectionEvent, codec: Codec | None
) -> tuple[ProjectionEvent, BaseException | None]:
    """The event in its latest version, or why it cannot be brought there."""
    if codec is not None:
        try:
            event = replace(event, data=codec.decoded_value(event.data))
        except CannotDecode as fault:
            return event, fault
    if not upcasters.is_outdated(event.name, event.version):
        return event, None
    latest, fault = await usercode.call(upcasters.apply, (event,), on_loop=True)
    return latest if fault is None else event, fault


async def deliver(
    definition: ProjectionDefinition,
    events: list[ProjectionEvent],
    upcasters: UpcasterRegistry = NO_UPCASTERS,
    codec: Codec | None = None,
) -> Folded:
    """Gives events to the handler of an external projection, one after another."""
    last: ProjectionEvent | None = None
    for event in events:
        shown, fault = await _latest(upcasters, event, codec)
        if fault is None:
            _, fault = await usercode.call(definition.handler, definition.arguments(None, shown))
        if fault is not None:
            return Folded(None, last, failure(definition, event, fault))
        last = event
    return Folded(None, last)


def failure(definition: ProjectionDefinition, event: ProjectionEvent, fault: BaseException) -> HandlerFailed:
    cause = f"{type(fault).__name__}: {fault}"
    failed = HandlerFailed(f"projection {definition.name!r} at event {event.id} ({event.name}): {cause}", event=event)
    failed.__cause__ = fault
    return failed

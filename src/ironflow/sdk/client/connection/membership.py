"""A member of a consumer group: its deliveries arrive ahead of the loop, are extended while they are held, and settled.

The member asks for its deliveries with `settles`: the server then hands every event over as one that the member
settles, and says for how long it has it. Clients that do not ask so keep the published exchange.
Source: docs/reference/consumer_groups.md, "Members of the Python SDK"; decision 0054.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from ironflow.base.errors import IronflowError
from ironflow.base.operation import Operation
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.contract import AckType
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.duplex_member import DuplexMember, NoDuplex
from ironflow.sdk.client.connection.hooks import expecting
from ironflow.sdk.client.connection.received import SubscriptionEvent, SubscriptionEventFields, plain
from ironflow.sdk.client.connection.status import Status
from ironflow.sdk.user_code.call import observe
from ironflow.sdk.values.codec import CannotDecode
from ironflow.sdk.values.payload import from_payload
from ironflow.sdk.wire.operations import path_of
from ironflow.sdk.wire.reconnect import Reconnect, decide_reconnect

# An ack that got no answer is repeated after these times. A server that restarts knows the member no more.
REPEAT_AFTER_S = (0.1, 0.2, 0.5, 1.0, 2.0)
# Parts of its time after which a held event is extended: two requests may be lost.
EXTENSIONS = 3

OnError = Callable[[IronflowError], object]


@dataclass(frozen=True, slots=True)
class Join:
    """The request of a membership. patient: a first connection that fails is repeated too, not raised.

    both_ways: the group, where acks go over the stream that brings the events, as long as HTTP/2 passes.
    """

    operation: Operation[Any, contract.SubscriptionEvent]
    request: Any
    group: str
    namespace: str
    patient: bool = False
    both_ways: contract.CreateGroup | None = None
    prefetch: int = 0

    @property
    def endpoint(self) -> str:
        """The path at which it is asked for."""
        return path_of(self.operation)


class _Held:
    """An event from its arrival until it is settled, or lost."""

    __slots__ = ("ack_wait_ms", "auto", "event")

    def __init__(self, event: SubscriptionEvent, sent: contract.SubscriptionEvent) -> None:
        self.event = event
        self.ack_wait_ms = sent.ack_wait_ms or 0
        # An older server settles events of an `auto` group by itself, and says nothing about it.
        self.auto = bool(sent.auto_ack)


class Deliveries:
    """The events that a member holds."""

    def __init__(self, calls: Calls, join: Join) -> None:
        self._calls, self._join = calls, join
        self._waiting: deque[SubscriptionEvent] = deque()
        self._held: dict[str, _Held] = {}
        self._moved = asyncio.Event()
        self._extendable = asyncio.Event()
        self.duplex = None if join.both_ways is None else DuplexMember(calls, join.both_ways, join.prefetch)

    def arrive(self, sent: contract.SubscriptionEvent) -> None:
        meta = sent.metadata
        found = plain(sent.topic, sent.data)
        event = SubscriptionEvent(
            id=sent.event_id,
            topic=sent.topic,
            name=found.name,
            data=found.data,
            timestamp=None if meta is None else meta.timestamp,
            sequence=sent.sequence,
            source="" if meta is None else meta.source,
            namespace="default" if meta is None else meta.namespace,
            metadata=None if meta is None or meta.custom is None else from_payload(meta.custom),
            entity_type=found.entity_type,
            entity_id=found.entity_id,
            entity_version=found.entity_version,
            version=found.version,
            attempt=sent.delivery_attempt,
            member_id=sent.subscription_id,
            _settle=self.settle,
        )
        self._held[event.id] = _Held(event, sent)
        self._waiting.append(event)
        self._moved.set()
        self._extendable.set()

    def lose(self) -> None:
        """The connection broke: what it has brought comes again."""
        self._waiting.clear()
        self._held.clear()
        self._extendable.clear()

    async def next(self, reading: "asyncio.Task[None]") -> SubscriptionEvent:
        """The next event. Raises what ended `reading`."""
        reading.add_done_callback(self._wake)
        try:
            while not self._waiting:
                if reading.done():
                    reading.result()
                self._moved.clear()
                await self._moved.wait()
        finally:
            reading.remove_done_callback(self._wake)
        return self._waiting.popleft()

    def _wake(self, _: Any) -> None:
        self._moved.set()

    async def handled(self, event: SubscriptionEvent) -> None:
        """The loop asked for the next event: acks this one with `auto`, else its time runs from now on."""
        held = self._held.get(event.id)
        if held is None or held.event is not event:
            return
        if held.auto:
            await self.settle(event, AckType.ACK, None)
        else:
            del self._held[event.id]

    async def settle(self, event: SubscriptionEventFields, ack_type: AckType | None, delay_ms: int | None) -> bool:
        if ack_type is None:
            return event.id in await self._extend(event.member_id, [event.id])
        held = self._held.get(event.id)
        if held is not None and held.event is event:
            del self._held[event.id]
        request = contract.AckEvent(
            namespace=self._join.namespace,
            group_name=self._join.group,
            consumer_id=event.member_id,
            event_id=event.id,
            ack_type=ack_type,
            # On the wire 0 stands for the group's delay.
            redeliver_delay_ms=0 if delay_ms is None else max(delay_ms, 1),
        )
        for pause_s in REPEAT_AFTER_S:
            try:
                with expecting(IronflowError):
                    if self.duplex is not None and self.duplex.has(event.member_id):
                        return await self.duplex.ack(request)
                    return (await self._calls.call(contract.ack, request)).settled
            except (contract.MemberNotFound, contract.GroupNotFound):
                return False
            except IronflowError as fault:
                if not fault.retryable:
                    await self._calls.report(fault, path_of(contract.ack))
                    raise
            await asyncio.sleep(pause_s)
        return False

    async def keep(self) -> None:
        """Extends what is held, three times in its time, for ever."""
        while True:
            pauses = [each.ack_wait_ms for each in self._held.values() if each.ack_wait_ms]
            if not pauses:
                self._extendable.clear()
                await self._extendable.wait()
                continue
            pause_s = min(pauses) / EXTENSIONS / 1000
            await asyncio.sleep(pause_s)
            by_member: dict[str, list[str]] = {}
            for event_id, held in self._held.items():
                if held.ack_wait_ms:
                    by_member.setdefault(held.event.member_id, []).append(event_id)
            for member_id, event_ids in by_member.items():
                await self._keep(member_id, event_ids, pause_s)

    async def _keep(self, member_id: str, event_ids: list[str], within_s: float) -> None:
        try:
            kept = await self._extend(member_id, event_ids, within_s)
        except IronflowError as fault:
            if fault.retryable:
                return
            kept = set[str]()
        for event_id in event_ids:
            held = self._held.get(event_id)
            # One that was lost and came again meanwhile is another member's.
            if event_id not in kept and held is not None and held.event.member_id == member_id:
                held.ack_wait_ms = 0

    async def _extend(self, member_id: str, event_ids: list[str], within_s: float | None = None) -> set[str]:
        request = contract.ExtendEvents(
            namespace=self._join.namespace, group_name=self._join.group, consumer_id=member_id, event_ids=event_ids
        )
        return set((await self._calls.call(contract.extend, request, timeout=within_s)).event_ids)


async def _read(
    calls: Calls, join: Join, deliveries: Deliveries, status: Status, reconnect: Reconnect, on_error: OnError | None
) -> None:
    """Receives for ever; joins again when the connection breaks. Raises what joining again cannot mend."""
    begun, failures = join.patient, 0

    def joined() -> None:
        nonlocal begun, failures
        begun, failures = True, 0
        status.move("connected")

    while True:
        pause_s = 0.0
        status.opening()
        try:
            if deliveries.duplex is not None:
                stream = deliveries.duplex.events(joined, reconnect.connect_timeout_s)
            else:
                stream = calls.stream(join.operation, join.request, joined, timeout_s=reconnect.connect_timeout_s)
            async with aclosing(stream) as answers:
                async for sent in answers:
                    deliveries.arrive(sent)
        except NoDuplex:
            # From now on a stream brings the events, and acks are requests, which pass everywhere.
            deliveries.duplex = None
        except IronflowError as fault:
            failures += 1
            mends = begun and not isinstance(fault, CannotDecode)
            again_s = decide_reconnect(fault, failures, reconnect) if mends else None
            status.broke(fault, again=again_s is not None)
            if again_s is None:
                raise
            pause_s = again_s
            if on_error is not None:
                await observe(on_error, fault)
        finally:
            deliveries.lose()
        await asyncio.sleep(pause_s)


async def events_of(
    calls: Calls, join: Join, status: Status, reconnect: Reconnect, on_error: OnError | None
) -> AsyncGenerator[SubscriptionEvent, None]:
    """The member's events, for ever. Closing it leaves the group: what is not settled goes to others at once."""
    deliveries = Deliveries(calls, join)
    # They hold no reference to this generator: a loop that is left closes it.
    tasks = [
        asyncio.create_task(_read(calls, join, deliveries, status, reconnect, on_error)),
        asyncio.create_task(deliveries.keep()),
    ]
    try:
        while True:
            event = await deliveries.next(tasks[0])
            yield event
            await deliveries.handled(event)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

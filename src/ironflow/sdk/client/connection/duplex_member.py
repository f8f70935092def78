"""A member's stream in both directions: its events come and its acks go on one HTTP/2 connection.

Source: protocol/connectrpc.md 5.3, SubscribeBidirectional; decision 0079.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from itertools import count

from ironflow.base.errors import (
    ConnectionLost,
    IronflowError,
    MethodNotAllowed,
    NotFound,
    Unavailable,
    Unimplemented,
)
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.contract import AckResultCode
from ironflow.features.subscriptions.contract import InvalidSubscription
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.wire.duplex import Duplex
from ironflow.sdk.wire.message_stream import HEADERS, MessageReader, enveloped
from ironflow.sdk.wire.operations import error_in, path_of
from ironflow.sdk.wire.transport import CannotConnect, Refused

# What HTTP/1.1, or a server without such streams, makes of the request.
NO_DUPLEX = (NotFound, MethodNotAllowed, Unimplemented)


class NoDuplex(ConnectionLost):
    """No stream in both directions passes between here and the server, which needs HTTP/2 all the way."""


class DuplexMember:
    """The member, while its stream is open. group: its settings; it is created as they say when there is none."""

    def __init__(self, calls: Calls, group: contract.CreateGroup, prefetch: int) -> None:
        self._calls, self._group, self._prefetch = calls, group, prefetch
        self._stream: Duplex | None = None
        self._member_id = ""
        self._ack_ids = count(1)
        self._results: dict[int, asyncio.Future[bool]] = {}

    async def events(
        self, opened: Callable[[], None], timeout_s: float
    ) -> AsyncGenerator[contract.SubscriptionEvent, None]:
        """Joins, and gives the events until the stream breaks. opened: called once it has joined.

        Raises NoDuplex, ConnectionLost, DeadlineExceeded, InvalidSubscription for a group with another pattern, and
        what the server raises.
        """
        has_joined = False

        def joined() -> None:
            nonlocal has_joined
            has_joined = True
            opened()

        for is_last in (False, True):
            try:
                async with aclosing(self._events(joined, timeout_s)) as events:
                    async for event in events:
                        yield event
                return
            except contract.GroupNotFound:
                # One that is deleted while there are members ends them.
                if is_last or has_joined:
                    raise
            with suppress(contract.GroupExists):
                await self._calls.call(contract.create, self._group)

    async def _events(
        self, joined: Callable[[], None], timeout_s: float
    ) -> AsyncGenerator[contract.SubscriptionEvent, None]:
        stream = await self._open(timeout_s)
        try:
            stream.write(enveloped(contract.ToServer(join=self._join())))
            messages = MessageReader(contract.subscribe)
            async for part in stream.chunks():
                for frame in messages.feed(part):
                    if frame.joined is not None:
                        self._check_pattern(frame.joined.pattern)
                        self._stream, self._member_id = stream, frame.joined.subscription_id
                        joined()
                    elif frame.event is not None:
                        yield self._decoded(frame.event)
                    elif frame.ack_result is not None:
                        self._answer(frame.ack_result)
            messages.check_ended()
        finally:
            self._stream = None
            for pending in self._results.values():
                if not pending.done():
                    pending.set_exception(ConnectionLost("The stream ended before the ack was answered."))
            await stream.abort()

    def has(self, member_id: str) -> bool:
        """Whether its stream is open, as that member."""
        return self._stream is not None and self._member_id == member_id

    async def ack(self, request: contract.AckEvent) -> bool:
        """Settles a delivery while the stream is open. Returns whether it counted.

        Raises InvalidAck, MemberNotFound, Unavailable, ConnectionLost.
        """
        assert self._stream is not None
        ack_id = next(self._ack_ids)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._results[ack_id] = answer
        ack = contract.SubscriptionAck(
            event_id=request.event_id,
            ack_type=request.ack_type,
            redeliver_delay_ms=request.redeliver_delay_ms,
            ack_id=ack_id,
        )
        self._stream.write(enveloped(contract.ToServer(ack=ack)))
        try:
            return await answer
        finally:
            self._results.pop(ack_id, None)

    async def _open(self, timeout_s: float) -> Duplex:
        endpoint = self._calls.endpoint
        headers = {**endpoint.headers(), **HEADERS}
        try:
            return await Duplex.open(endpoint.url, path_of(contract.subscribe), headers, timeout_s)
        except CannotConnect:
            raise
        except ConnectionLost as fault:
            raise NoDuplex(fault.message) from fault
        except Refused as refusal:
            error = error_in(refusal.answer)
            raise NoDuplex(error.message) if isinstance(error, NO_DUPLEX) else error from None

    def _join(self) -> contract.JoinGroup:
        return contract.JoinGroup(
            namespace=self._group.namespace, group_name=self._group.name, prefetch=self._prefetch, settles=True
        )

    def _check_pattern(self, read: str) -> None:
        if read.removeprefix("events:") != self._group.pattern.removeprefix("events:"):
            raise InvalidSubscription(
                f"The group reads {read!r}, not {self._group.pattern!r}. Subscribe with its own pattern."
            )

    def _decoded(self, event: contract.SubscriptionEvent) -> contract.SubscriptionEvent:
        # The mode is the member's own, as it asked for; the stream has the group's.
        event.auto_ack = self._group.ack_mode is contract.AckMode.AUTO
        return event if self._calls.codec is None else self._calls.codec.decoded_message(event)

    def _answer(self, result: contract.AckResult) -> None:
        pending = self._results.get(result.ack_id)
        if pending is None or pending.done():
            return
        if result.code is AckResultCode.OK:
            # A message with it says that the member did not hold the event.
            pending.set_result(not result.message)
        else:
            pending.set_exception(_fault(result))


def _fault(result: contract.AckResult) -> IronflowError:
    match result.code:
        case AckResultCode.INVALID_ARGUMENT:
            return contract.InvalidAck(result.message)
        case AckResultCode.NOT_FOUND:
            return contract.MemberNotFound(result.message)
        case _:
            return Unavailable(result.message)

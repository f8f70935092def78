"""One WebSocket at `/ws`: frames of the client are answered, events of its subscriptions sent.

The reader answers frames in order; a writer sends. It begins at the next turn of the loop after there is something to
write, and is a task only where the socket does not take it at once. So an idle socket costs nothing but its memory, and
an event of many subscribers no task for each. Source: protocol/websocket.md 1.
"""

import asyncio
from collections import deque
from typing import Any

from ironflow.base.errors import IronflowError
from ironflow.base.socket import Socket, SocketClosed, SocketHandler, SocketRoute
from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.features.conversations import contract
from ironflow.features.conversations.contract import TooManySubscriptions, UnknownType
from ironflow.features.conversations.eager import begin
from ironflow.features.conversations.rules import (
    Frame,
    Wanted,
    accepted,
    ack_of,
    error_frame,
    event_frame,
    event_head,
    read_frame,
    refused,
    result_frame,
    subscription_error_frame,
)
from ironflow.features.group_subscriptions.service import GroupSubscription, join_group
from ironflow.features.subscriptions.contract import Subscribe, SubscribeOptions
from ironflow.features.subscriptions.service import Subscription, Subscriptions

SUBSCRIPTIONS_MAX = 1_000
# Answers to frames that the client has not read; with more, its frames are not read until it has.
ANSWERS_MAX = 100
# When the log could not be read for a subscriber, it is read again this much later.
READ_AGAIN_S = 1.0


class Conversations:
    """The conversations feature."""

    def __init__(self, subscriptions: Subscriptions, groups: ConsumerGroups) -> None:
        self._subscriptions, self._groups = subscriptions, groups

    def sockets(self) -> dict[SocketRoute, SocketHandler]:
        return {contract.socket: self.converse}

    async def converse(self, socket: Socket) -> None:
        """One WebSocket, from its handshake to its end."""
        await Conversation(self._subscriptions, self._groups, socket).run()


class _Following:
    """A subscription of this socket.

    count: how often the client subscribed and has not unsubscribed. announced: its result frame is on the way.
    """

    __slots__ = ("announced", "count", "head", "subscription", "with_meta")

    def __init__(self, subscription: Subscription | GroupSubscription, with_meta: bool) -> None:
        self.subscription = subscription
        self.head = event_head(subscription.id)
        self.with_meta = with_meta
        self.count = 1
        self.announced = False

    @property
    def began_after(self) -> int | None:
        """The sequence that its first event follows; None for a group, which has a position of its own."""
        return None if isinstance(self.subscription, GroupSubscription) else self.subscription.began_after


class Conversation:
    """One socket, from its handshake until its client disconnects."""

    __slots__ = (
        "_answers",
        "_capacity",
        "_due",
        "_fault",
        "_following",
        "_groups",
        "_reader",
        "_ready",
        "_socket",
        "_subscriptions",
        "_writer",
    )

    def __init__(self, subscriptions: Subscriptions, groups: ConsumerGroups, socket: Socket) -> None:
        self._subscriptions, self._groups = subscriptions, groups
        self._socket = socket
        self._following: dict[str, _Following] = {}
        self._answers: deque[str] = deque()
        # Subscriptions that have something to take, in fair order.
        self._ready: dict[str, None] = {}
        # A writer is about to begin, or has begun and waits.
        self._due = False
        self._writer: asyncio.Future[None] | None = None
        self._capacity: asyncio.Future[None] | None = None
        self._reader = asyncio.current_task()
        # What broke the writer; the reader raises it.
        self._fault: BaseException | None = None

    async def run(self) -> None:
        await self._socket.accept()
        try:
            while True:
                await self._answer(await self._socket.receive())
                if len(self._answers) > ANSWERS_MAX:
                    self._capacity = asyncio.get_running_loop().create_future()
                    await self._capacity
        except asyncio.CancelledError:
            if self._fault is not None:
                raise self._fault from None
            raise
        finally:
            for following in self._following.values():
                following.subscription.close()
            self._following.clear()
            self._ready.clear()
            self._answers.clear()
            if self._writer is not None:
                self._writer.cancel()

    async def _answer(self, text: str | bytes) -> None:
        try:
            frame = read_frame(text)
            match frame.type:
                case "subscribe":
                    await self._subscribe(frame.wanted)
                case "unsubscribe":
                    self._unsubscribe(frame.subscription_id)
                case "ack":
                    await self._ack(frame)
                case other:
                    raise UnknownType(f"{other[:40]!r} is no type of frame: send `subscribe`, `unsubscribe` or `ack`.")
        except IronflowError as error:
            self._enqueue(error_frame(error))

    async def _subscribe(self, wanted: list[Wanted]) -> None:
        results: list[dict[str, Any]] = []
        begun: list[str] = []
        for each in wanted:
            try:
                subscription_id = await self._begin(each)
            except IronflowError as error:
                results.append(refused(each.pattern, error))
                continue
            begun.append(subscription_id)
            results.append(accepted(each.pattern, subscription_id, self._following[subscription_id].began_after))
        self._enqueue(result_frame(results))
        # Not before the result is in the queue: no event may come ahead of it.
        for subscription_id in begun:
            following = self._following[subscription_id]
            following.announced = True
            self._wake(following.subscription)

    async def _begin(self, wanted: Wanted) -> str:
        if wanted.error is not None:
            raise wanted.error
        request = wanted.request or Subscribe(pattern="")
        if request.options is not None and request.options.consumer_group:
            return await self._begin_group(request, request.options)
        subscription = self._subscriptions.make(self._socket.call, request, self._wake)
        known = self._following.get(subscription.id)
        if known is not None:
            known.count += 1
            return subscription.id
        if len(self._following) >= SUBSCRIPTIONS_MAX:
            raise TooManySubscriptions
        try:
            await self._subscriptions.begin(subscription, request)
        except BaseException:
            subscription.close()
            raise
        with_meta = bool(request.options and request.options.include_metadata)
        self._following[subscription.id] = _Following(subscription, with_meta)
        return subscription.id

    async def _begin_group(self, request: Subscribe, options: SubscribeOptions) -> str:
        subscription_id = self._subscriptions.id_of(self._socket.call, request)
        known = self._following.get(subscription_id)
        if known is not None:
            known.count += 1
            return subscription_id
        if len(self._following) >= SUBSCRIPTIONS_MAX:
            raise TooManySubscriptions
        subscription = await join_group(
            self._subscriptions, self._groups, self._socket.call, request, subscription_id, self._wake
        )
        self._following[subscription_id] = _Following(subscription, options.include_metadata)
        return subscription_id

    def _unsubscribe(self, subscription_id: str) -> None:
        following = self._following.get(subscription_id)
        if following is None:
            return
        following.count -= 1
        if not following.count:
            self._forget(subscription_id)

    def _forget(self, subscription_id: str) -> None:
        self._following.pop(subscription_id).subscription.close()
        self._ready.pop(subscription_id, None)

    async def _ack(self, frame: Frame) -> None:
        """Settles an event of a group; one that is not in flight is ignored. Raises InvalidMessage."""
        ack_type, delay_ms = ack_of(frame)
        for following in self._following.values():
            subscription = following.subscription
            if isinstance(subscription, GroupSubscription) and subscription.awaits(frame.event_id):
                await subscription.ack(frame.event_id, ack_type, delay_ms)
                return

    # Writing

    def _enqueue(self, text: str) -> None:
        self._answers.append(text)
        self._write_soon()

    def _wake(self, subscription: Subscription | GroupSubscription) -> None:
        following = self._following.get(subscription.id)
        if following is not None and following.announced:
            self._ready[subscription.id] = None
            self._write_soon()

    def _write_soon(self) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._begin_writing)

    def _begin_writing(self) -> None:
        self._writer = begin(self._write())
        if self._writer is not None:
            self._writer.add_done_callback(self._wrote)

    def _wrote(self, writer: asyncio.Future[None]) -> None:
        self._writer = None
        if not writer.cancelled() and writer.exception() is not None and self._reader is not None:
            self._fault = writer.exception()
            self._reader.cancel()

    async def _write(self) -> None:
        try:
            while self._answers or self._ready:
                while self._answers:
                    await self._socket.send(self._answers.popleft())
                if self._capacity is not None and not self._capacity.done():
                    self._capacity.set_result(None)
                for subscription_id in list(self._ready):
                    await self._send_events(subscription_id)
                if self._ready:
                    # Otherwise a client that reads as fast as this writes would leave no turn to other tasks.
                    await asyncio.sleep(0)
        except SocketClosed:
            # The reader notices it too, and ends the conversation.
            return
        finally:
            self._due = False

    async def _send_events(self, subscription_id: str) -> None:
        """Sends what one subscription has now; it is marked ready again when it has more."""
        self._ready.pop(subscription_id, None)
        following = self._following.get(subscription_id)
        if following is None:
            return
        subscription = following.subscription
        try:
            # Saves a coroutine for each delivery: what is queued is taken without waiting.
            entries = [] if isinstance(subscription, GroupSubscription) else subscription.take_queued()
            if not entries:
                entries = await subscription.take()
        except IronflowError as error:
            self._fail(subscription, error)
            return
        send, head, with_meta = self._socket.send, following.head, following.with_meta
        for entry in entries:
            await send(event_frame(head, entry.with_meta if with_meta else entry.plain))
        if isinstance(subscription, GroupSubscription):
            subscription.sent()
        if subscription.ready:
            self._wake(subscription)

    def _fail(self, subscription: Subscription | GroupSubscription, error: IronflowError) -> None:
        retrying = error.connect == "unavailable"
        self._answers.append(subscription_error_frame(subscription.id, error, retrying))
        if retrying:
            asyncio.get_running_loop().call_later(READ_AGAIN_S, self._wake, subscription)
        else:
            self._forget(subscription.id)

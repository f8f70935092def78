"""The events of a pattern, over one connection after the other. What a connection is made of is its link's concern."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from ironflow.base.errors import IronflowError
from ironflow.features.subscriptions import contract
from ironflow.sdk.client.connection.received import SubscriptionEvent
from ironflow.sdk.client.connection.request import SubscriptionRequest
from ironflow.sdk.client.connection.status import Status
from ironflow.sdk.user_code.call import observe
from ironflow.sdk.wire.reconnect import Reconnect, decide_reconnect

# Its own failure goes to stderr, and changes nothing.
OnError = Callable[[IronflowError], object]


@dataclass(frozen=True, slots=True)
class Begun:
    """The server has accepted the subscription. sequence: what its events follow, None where that is not known."""

    sequence: int | None = None


def marker(begun: Begun) -> SubscriptionEvent:
    """What is handed out where a request `marks` the begin of each connection."""
    return SubscriptionEvent(id="", topic="", name="", data=None, timestamp=None, sequence=begun.sequence or 0)


class Link(Protocol):
    """Opens connections of one kind."""

    def open(self, request: SubscriptionRequest) -> AsyncGenerator[Begun | SubscriptionEvent | IronflowError, None]:
        """One connection: Begun, then events, and failures that do not end it. Raises what ends it."""
        ...


class Follower:
    """Follows a pattern for ever. after: what the next connection goes on after; None while nothing is known."""

    def __init__(
        self, link: Link, request: SubscriptionRequest, status: Status, reconnect: Reconnect, on_error: OnError | None
    ) -> None:
        self._link = link
        self._request = request
        self._status = status
        self._reconnect = reconnect
        self._on_error = on_error
        self._begun, self._failures = False, 0
        self.after = request.after

    async def follow(self) -> AsyncGenerator[SubscriptionEvent, None]:
        try:
            while True:
                self._status.opening()
                pause_s = 0.0
                try:
                    async with aclosing(self._link.open(self._next_request())) as arriving:
                        async for each in arriving:
                            if (event := await self._taken(each)) is not None:
                                yield event
                except contract.SequenceNotKept as lost:
                    # Everything that is kept came later.
                    await self._report_error(lost)
                    self.after = 0
                except IronflowError as fault:
                    pause_s = self._pause_after(fault)
                    await self._observe_error(fault)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1))
        finally:
            self._status.move("disconnected")

    async def _taken(self, each: Begun | SubscriptionEvent | IronflowError) -> SubscriptionEvent | None:
        """The event to hand out, if it is a new one."""
        match each:
            case Begun():
                self._connected(each)
                if self._request.marks:
                    return marker(each)
            case IronflowError():
                await self._report_error(each)
            case SubscriptionEvent():
                if self.after is None or each.sequence > self.after:
                    # Before it is handed out: a caller that stops iterating has seen it.
                    self.after = each.sequence
                    return each
            case _:
                assert_never(each)
        return None

    def _next_request(self) -> SubscriptionRequest:
        return self._request if self.after is None else replace(self._request, replay=0, after=self.after)

    def _connected(self, begun: Begun) -> None:
        self._begun, self._failures = True, 0
        if self.after is None:
            self.after = begun.sequence
        self._status.move("connected")

    def _pause_after(self, fault: IronflowError) -> float:
        """Seconds until the next connection. Raises `fault` where there is none."""
        self._failures += 1
        pause_s = decide_reconnect(fault, self._failures, self._reconnect) if self._begun else None
        self._status.broke(fault, again=pause_s is not None)
        if pause_s is None:
            raise fault
        return pause_s

    async def _report_error(self, fault: IronflowError) -> None:
        self._status.observers.failed(fault)
        await self._observe_error(fault)

    async def _observe_error(self, fault: IronflowError) -> None:
        if self._on_error is not None:
            await observe(self._on_error, fault)

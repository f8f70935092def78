"""The acks of one connection. Those that arrive during a commit are settled together by the next one."""

import asyncio
from collections import deque
from typing import NamedTuple

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.features.consumer_groups import rules
from ironflow.features.consumer_groups.contract import AckType
from ironflow.features.consumer_groups.member import Member
from ironflow.features.consumer_groups.members import Members
from ironflow.features.consumer_groups.settling import Settlement

# Acks that may wait for a commit; beyond it no more frames are read from the connection.
WAITING_MAX = 2_000


class PendingAck(NamedTuple):
    """An ack, nak or term to be settled.

    delay_ms: None for the group's own delay. ack_id: the client's id of the ack.
    """

    event_id: str
    ack_type: AckType | None
    delay_ms: int | None = None
    ack_id: int = 0


class Result(NamedTuple):
    """The result of an ack. fault: None when it succeeded. settled: whether the member held the event."""

    ack: PendingAck
    fault: IronflowError | None
    settled: bool = False


class Acks:
    """Settles the acks of a member. With `with_results` it keeps their results and wakes the member (`poke`)."""

    def __init__(self, groups: Members, call: Call, member: Member, *, with_results: bool) -> None:
        self._groups, self._call, self._member = groups, call, member
        self._with_results = with_results
        self._waiting: list[PendingAck] = []
        self._work: asyncio.Task[None] | None = None
        self.results: deque[Result] = deque()

    async def add(self, ack: PendingAck) -> None:
        """Takes an ack. Returns at once unless more than WAITING_MAX of them wait."""
        self._waiting.append(ack)
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._settle_all())
        elif len(self._waiting) > WAITING_MAX:
            await asyncio.wait([self._work])

    async def done(self) -> None:
        """Waits until every ack that was added is settled."""
        while self._work is not None:
            await asyncio.wait([self._work])

    async def _settle_all(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, []
                await self._settle(taken)
        finally:
            self._work = None

    async def _settle(self, taken: list[PendingAck]) -> None:
        """Settles them in one commit: all plain acks by one settlement, each nak and term by its own."""
        acked: list[PendingAck] = []
        settlements: list[tuple[list[PendingAck], Settlement]] = []
        for ack in taken:
            try:
                outcome = rules.decide_ack(ack.ack_type, ack.delay_ms)
            except IronflowError as fault:
                self._add_results([ack], fault)
                continue
            if isinstance(outcome, rules.Ack):
                acked.append(ack)
            else:
                settlements.append(([ack], self._settlement([ack], outcome)))
        if acked:
            settlements.append((acked, self._settlement(acked, rules.Ack())))
        work = [self._groups.settle(settlement) for _, settlement in settlements]
        answers = await asyncio.gather(*work, return_exceptions=True)
        for (settled, _), answer in zip(settlements, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, IronflowError):
                raise answer
            self._add_results(settled, answer)

    def _settlement(self, settled: list[PendingAck], outcome: rules.Ack | rules.Nak | rules.Term) -> Settlement:
        event_ids = tuple(ack.event_id for ack in settled)
        return self._groups.settlement(self._call, self._member, event_ids, outcome)

    def _add_results(self, acks: list[PendingAck], answer: IronflowError | frozenset[str]) -> None:
        if not self._with_results:
            return
        if isinstance(answer, IronflowError):
            self.results += [Result(ack, answer) for ack in acks]
        else:
            self.results += [Result(ack, None, ack.event_id in answer) for ack in acks]
        self._member.poke()

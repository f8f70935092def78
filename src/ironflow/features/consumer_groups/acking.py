"""The acks of one connection: what arrives while others are on their way to the disk goes there together."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.features.consumer_groups import rules
from ironflow.features.consumer_groups.contract import AckType
from ironflow.features.consumer_groups.member import Member
from ironflow.features.consumer_groups.settling import Word

if TYPE_CHECKING:
    from ironflow.features.consumer_groups.service import ConsumerGroups

# Acks that wait for their turn; who sends more is not listened to until there are fewer.
WAITING_MAX = 2_000


class Said(NamedTuple):
    """A member's word on one event. delay_ms: None for the group's own. ack_id: the client's name for the ack."""

    event_id: str
    ack_type: AckType | None
    delay_ms: int | None = None
    ack_id: int = 0


class Result(NamedTuple):
    """What became of an ack. fault: None when it is ok."""

    said: Said
    fault: IronflowError | None


class Acks:
    """Settles what a member says, and keeps the results when somebody wants them; `poke`s the member then."""

    def __init__(self, groups: "ConsumerGroups", call: Call, member: Member, *, with_results: bool) -> None:
        self._groups, self._call, self._member = groups, call, member
        self._with_results = with_results
        self._waiting: list[Said] = []
        self._work: asyncio.Task[None] | None = None
        self.results: deque[Result] = deque()

    async def say(self, said: Said) -> None:
        """Takes an ack; returns at once unless there are too many."""
        self._waiting.append(said)
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._settle_all())
        elif len(self._waiting) > WAITING_MAX:
            await asyncio.wait([self._work])

    async def done(self) -> None:
        """Until everything that was said is settled."""
        while self._work is not None:
            await asyncio.wait([self._work])

    async def _settle_all(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, []
                await self._settle(taken)
        finally:
            self._work = None

    async def _settle(self, taken: list[Said]) -> None:
        """In one commit: all plain acks as one word, the others one by one."""
        acked: list[Said] = []
        words: list[tuple[list[Said], Word]] = []
        for said in taken:
            try:
                outcome = rules.decide_ack(said.ack_type, said.delay_ms)
            except IronflowError as fault:
                self._tell([said], fault)
                continue
            if isinstance(outcome, rules.Ack):
                acked.append(said)
            else:
                words.append(([said], self._word([said], outcome)))
        if acked:
            words.append((acked, self._word(acked, rules.Ack())))
        answers = await asyncio.gather(*(self._groups.settle(word) for _, word in words), return_exceptions=True)
        for (settled, _), answer in zip(words, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, IronflowError):
                raise answer
            self._tell(settled, answer)

    def _word(self, settled: list[Said], outcome: rules.Ack | rules.Nak | rules.Term) -> Word:
        event_ids = tuple(said.event_id for said in settled)
        return self._groups.word(self._call, self._member, event_ids, outcome)

    def _tell(self, settled: list[Said], fault: IronflowError | None) -> None:
        if self._with_results:
            self.results += [Result(said, fault) for said in settled]
            self._member.poke()

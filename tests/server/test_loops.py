"""Loops go on by themselves: at once while there is more, at the next due time, at a ring; a failing one is named."""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass

import pytest

from ironflow.base.time import FixedClock, Millis
from ironflow.broker.port import LocalBroker
from ironflow.server.loops import Loops


@dataclass
class Ran:
    more: bool = False
    next_at: Millis | None = None
    rest_ms: int = 0


class Script:
    """A loop that answers, or raises, what it is told; the last answer again and again."""

    name = "script"
    topic = "script"

    def __init__(self, *answers: Ran | Exception, every_ms: int = 3_600_000) -> None:
        self.every_ms = every_ms
        self.rounds = 0
        self._answers = deque(answers)
        self._seen = asyncio.Condition()

    async def run_once(self, now: Millis) -> Ran:
        async with self._seen:
            self.rounds += 1
            self._seen.notify_all()
        answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def has_run(self, rounds: int) -> None:
        async with self._seen, asyncio.timeout(10):
            await self._seen.wait_for(lambda: self.rounds >= rounds)


async def test_a_loop_goes_on_at_once_while_there_is_more():
    script = Script(Ran(more=True), Ran(more=True), Ran())
    loops = Loops(FixedClock(), LocalBroker())
    loops.start([script])
    await script.has_run(3)
    await loops.close()
    assert script.rounds == 3


async def test_a_loop_comes_back_when_something_is_due_and_after_its_period():
    clock = FixedClock()
    for script in (
        Script(Ran(next_at=clock.now() + 10), Ran()),
        Script(Ran(next_at=0), Ran()),
        Script(Ran(), every_ms=5),
    ):
        loops = Loops(clock, LocalBroker())
        loops.start([script])
        await script.has_run(2)
        await loops.close()


async def test_a_ring_brings_a_loop_back():
    broker = LocalBroker()
    script = Script(Ran())
    loops = Loops(FixedClock(), broker)
    loops.start([script])
    await script.has_run(1)
    broker.ring([("script", "")])
    await script.has_run(2)
    await loops.close()


async def test_a_loop_that_rests_hears_late_what_rang_meanwhile_and_once():
    broker = LocalBroker()
    script = Script(Ran(rest_ms=30), Ran())
    loops = Loops(FixedClock(), broker)
    begun_at = time.monotonic()
    loops.start([script])
    await script.has_run(1)
    for _ in range(3):
        broker.ring([("script", "")])
        await asyncio.sleep(0)
    await script.has_run(2)
    assert time.monotonic() - begun_at >= 0.03
    await loops.close()
    assert script.rounds == 2


async def test_a_loop_that_fails_is_logged_once_named_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ironflow.server.loops.RETRY_S", 0.001)
    script = Script(OSError("disk I/O error"), OSError("disk I/O error"), OSError("disk I/O error"), Ran())
    broker = LocalBroker()
    loops = Loops(FixedClock(), broker)
    with caplog.at_level(logging.ERROR):
        loops.start([script])
        await script.has_run(3)
        assert loops.failing == {"script": "disk I/O error"}
        # When the fifth round begins, the fourth has gone well.
        await script.has_run(4)
        broker.ring([("script", "")])
        await script.has_run(5)
        assert loops.failing == {}
        await loops.close()
    assert [record.getMessage() for record in caplog.records] == ["loop failed"]

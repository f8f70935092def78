"""Loops run by themselves: at once while there is more, at the next due time, at a notification; failures are named."""

import asyncio
import logging
import time
from collections import deque

import pytest

from ironflow.base.loop import Ran
from ironflow.base.time import FixedClock, Millis
from ironflow.notify.port import LocalNotifier
from ironflow.server.loops import Loops


class Script:
    """A loop that returns, or raises, the given answers; the last one again and again."""

    name = "script"
    topic = "script"
    notable = ("lost",)

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
    loops = Loops(FixedClock(), LocalNotifier(), [script])
    await loops.start()
    await script.has_run(3)
    await loops.stop()
    assert script.rounds == 3


async def test_a_loop_comes_back_when_something_is_due_and_after_its_period():
    clock = FixedClock()
    for script in (
        Script(Ran(next_at=clock.now() + 10), Ran()),
        Script(Ran(next_at=0), Ran()),
        Script(Ran(), every_ms=5),
    ):
        loops = Loops(clock, LocalNotifier(), [script])
        await loops.start()
        await script.has_run(2)
        await loops.stop()


async def test_a_notification_starts_a_round():
    notifier = LocalNotifier()
    script = Script(Ran())
    loops = Loops(FixedClock(), notifier, [script])
    await loops.start()
    await script.has_run(1)
    notifier.notify([("script", "")])
    await script.has_run(2)
    await loops.stop()


async def test_notifications_during_a_rest_start_one_round_after_it():
    notifier = LocalNotifier()
    script = Script(Ran(rest_ms=30), Ran())
    loops = Loops(FixedClock(), notifier, [script])
    begun_at = time.monotonic()
    await loops.start()
    await script.has_run(1)
    for _ in range(3):
        notifier.notify([("script", "")])
        await asyncio.sleep(0)
    await script.has_run(2)
    assert time.monotonic() - begun_at >= 0.03
    await loops.stop()
    assert script.rounds == 2


async def test_a_loop_that_fails_is_logged_once_named_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ironflow.server.loops.RETRY_S", 0.001)
    script = Script(OSError("disk I/O error"), OSError("disk I/O error"), OSError("disk I/O error"), Ran())
    notifier = LocalNotifier()
    loops = Loops(FixedClock(), notifier, [script])
    with caplog.at_level(logging.ERROR):
        await loops.start()
        await script.has_run(3)
        assert loops.failing == {"script": "disk I/O error"}
        # When the fifth round begins, the fourth has gone well.
        await script.has_run(4)
        notifier.notify([("script", "")])
        await script.has_run(5)
        assert loops.failing == {}
        await loops.stop()
    assert [record.getMessage() for record in caplog.records] == ["loop failed"]


async def test_what_a_loop_did_is_logged_once_a_minute_and_counted(caplog: pytest.LogCaptureFixture):
    clock = FixedClock()
    notifier = LocalNotifier()
    script = Script(Ran({"fired": 2, "lost": 0}), Ran({"fired": 3, "lost": 1}), Ran({"fired": 1, "lost": 4}), Ran())
    loops = Loops(clock, notifier, [script])
    with caplog.at_level(logging.DEBUG, "ironflow.server.loops"):
        await loops.start()
        await script.has_run(1)
        for rounds in (2, 3):
            notifier.notify([("script", "")])
            await script.has_run(rounds)
        clock.at += 60_000
        for rounds in (4, 5):
            notifier.notify([("script", "")])
            await script.has_run(rounds)
        await loops.stop()

    assert [(record.levelname, record.loop, record.done) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("DEBUG", "script", {"fired": 2}),
        ("INFO", "script", {"lost": 1}),
        ("INFO", "script", {"lost": 4}),
        ("DEBUG", "script", {"fired": 4}),
    ]
    assert loops.counts == {("script", "fired"): 6, ("script", "lost"): 5}

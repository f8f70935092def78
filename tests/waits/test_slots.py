"""Slots of limits and actors under random histories: never over a limit, nobody queues for whom all slots are free.

Emits, claims, reports, children, lost leases, sleeps, pauses, resumes and cancels come in any order; whatever they do,
all runs end once everything that can happen has happened, and each is the fold of its facts.
"""

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironflow.engine.errors import StaleExecution
from ironflow.features.controls import contract as controls
from ironflow.features.jobs.contract import Assignment, WorkerNotFound
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunStatus
from tests.support.facts import check_fold
from tests.support.house import open_house
from tests.support.work import LEASE_MS, Work
from tests.support.yields import invokes, sleeps, waits_for

WORKERS = ("w1", "w2")
OPEN_JOBS = "SELECT run_id, function_id, state, slot_key, limit_key FROM jobs"
KEEPING = """SELECT id, function_id, 'paused', slot_key, limit_key FROM runs
WHERE status = 'paused' AND holds_slot = 1 AND paused_from = ''"""
KINDS = (
    *("emit", "emit", "claim", "claim", "complete", "fail", "sleep", "wait", "invoke", "wake", "silence"),
    *("pause", "resume", "cancel"),
)
WORDS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 7)), max_size=40)


class Play:
    """One house with one function of a limit, and everything that happens to its runs."""

    def __init__(self, house: Work, limit: int) -> None:
        self.house = house
        self.limit = limit
        self.run_ids: list[str] = []
        self.held: list[Assignment] = []

    async def start(self, key: str, pause_behavior: str, actor_key: str = "") -> None:
        """actor_key: `a`, where events have one of two actors, or nothing."""
        limit = {"limit": self.limit, "key": key}
        config = {"pause_behavior": pause_behavior, "retry": {"initial_delay_ms": 1_000}, "recording": True}
        await self.house.a_function(concurrency=limit, actor_key=actor_key, **config)
        await self.house.a_function("child", on=None, concurrency={"limit": self.limit}, **config)
        await self.workers()

    async def workers(self) -> None:
        for worker in WORKERS:
            await self.house.a_worker(worker, ("charge", "child"), jobs_max=100)

    async def do(self, word: str, which: int) -> None:
        """One thing that happens; what is refused because of the run's state changes nothing."""
        house = self.house
        try:
            match word:
                case "emit":
                    self.run_ids += (await house.emit(data={"k": which % 2, "a": which // 2 % 3})).run_ids
                case "claim":
                    self.held += await house.poll(WORKERS[which % 2], available=1 + which // 2, acked=which % 3 != 0)
                case "complete" | "fail" | "sleep" | "wait" | "invoke" if self.held:
                    await self.report(word, self.held.pop(which % len(self.held)))
                case "wake":
                    house.move(1_000)
                    await house.emit("go")
                    await house.loop("timers")
                case "silence":
                    house.move(LEASE_MS)
                    await house.loops()
                    await self.workers()
                case "pause" | "resume" | "cancel" if self.run_ids:
                    await self.control(word, self.run_ids[which % len(self.run_ids)])
        except (StaleExecution, WorkerNotFound, runs.RunEnded, controls.RunNotResumable):
            return

    async def report(self, word: str, job: Assignment) -> None:
        match word:
            case "complete":
                await self.house.report(job, "completed")
            case "fail":
                await self.house.report(job, "failed")
            case "sleep":
                await self.house.report(job, "yielded", yielded=sleeps(job, self.house.now + 1_000))
            case "wait":
                await self.house.report(job, "yielded", yielded=waits_for(job, "go"))
            case _:
                await self.house.report(job, "yielded", yielded=invokes(job, "child", invoke_timeout_ms=60_000))

    async def control(self, word: str, run_id: str) -> None:
        match word:
            case "pause":
                await self.house.call(controls.pause, run_id=run_id)
            case "resume":
                await self.house.call(controls.resume, run_id=run_id)
            case _:
                await self.house.call(runs.cancel, id=run_id)

    async def check(self, settled: bool = True) -> None:
        """settled: nothing is under way, so that a free slot for which somebody queues is a lost one."""
        rows = await self.house.db.read(lambda tx: tx.rows(f"{OPEN_JOBS} UNION ALL {KEEPING}"))
        taken: Counter[tuple[str, str]] = Counter()
        for _, function_id, state, *keys in rows:
            taken.update((function_id, key) for key in keys if key is not None and state != "queued")
        assert all(count <= self.limit_of(key) for (_, key), count in taken.items()), f"{taken} have slots"
        for run_id, function_id, state, *keys in rows:
            if settled and state == "queued":
                free = [key for key in keys if key is not None and taken[function_id, key] < self.limit_of(key)]
                assert len(free) < len([key for key in keys if key]), f"all slots are free that {run_id} queues for"

    def limit_of(self, key: str) -> int:
        return 1 if key.startswith("actor:") else self.limit

    async def end(self) -> None:
        """Everybody gets a chance to finish; nothing may be left over."""
        for _ in range(3 * len(self.run_ids) + 12):
            shown = await self.house.runs(limit=1000)
            for run in shown:
                if run.status is RunStatus.PAUSED:
                    await self.house.call(controls.resume, run_id=run.id)
            if all(run.status.ended for run in shown):
                break
            await self.do("silence", 0)
            await self.do("wake", 0)
            for job in [job for worker in WORKERS for job in await self.house.poll(worker, available=100)]:
                await self.house.report(job, "completed")
            await self.check()
        assert {run.id: run.state for run in await self.house.runs(limit=1000) if not run.status.ended} == {}
        assert await check_fold(self.house) == len(await self.house.runs(limit=1000))
        for table in ("jobs", "timers", "waits"):
            assert await self.house.db.read(lambda tx, t=table: tx.row(f"SELECT count(*) FROM {t}")) == (0,), table


@settings(max_examples=40)
@given(
    words=WORDS,
    limit=st.integers(1, 3),
    key=st.sampled_from(["", "k"]),
    pausing=st.sampled_from(["", "release"]),
    actor_key=st.sampled_from(["", "a"]),
)
def test_whatever_happens_no_slot_is_lost_and_none_is_given_twice(
    words: list[tuple[str, int]], limit: int, key: str, pausing: str, actor_key: str
):
    async def play() -> None:
        with tempfile.TemporaryDirectory() as place:
            async with open_house(Work, str(Path(place) / "ironflow.db")) as house:
                history = Play(house, limit)
                await history.start(key, pausing, actor_key)
                for word, which in words:
                    await history.do(word, which)
                    await history.check()
                await history.end()

    asyncio.run(play())


@pytest.fixture
async def shared(postgres_url: str) -> AsyncIterator[Work]:
    async with open_house(Work, postgres_url) as house:
        yield house


@pytest.mark.parametrize("actor_key", ["", "a"])
async def test_words_that_come_at_the_same_moment_share_the_slots_of_a_key(shared: Work, actor_key: str):
    """As above, with many transactions of PostgreSQL under way at once."""
    chance = random.Random(7)
    history = Play(shared, 3)
    await history.start("k", "", actor_key)
    for _ in range(25):
        crowd = [(chance.choice(KINDS), chance.randrange(200)) for _ in range(16)]
        await asyncio.gather(*(history.do(*word) for word in crowd))
        await history.check()
    await history.end()

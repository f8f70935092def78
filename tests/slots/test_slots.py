"""Slots of limits and actors under random histories: never over a limit, no run queues while its slots are free.

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
from tests.support.server import open_server
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
ACTIONS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 7)), max_size=40)


class Play:
    """One server with one function of a limit, and everything that happens to its runs."""

    def __init__(self, server: Work, limit: int) -> None:
        self.server = server
        self.limit = limit
        self.run_ids: list[str] = []
        self.held: list[Assignment] = []

    async def start(self, key: str, pause_behavior: str, actor_key: str = "") -> None:
        """actor_key: `a`, where events have one of two actors, or nothing."""
        limit = {"limit": self.limit, "key": key}
        config = {"pause_behavior": pause_behavior, "retry": {"initial_delay_ms": 1_000}, "recording": True}
        await self.server.a_function(concurrency=limit, actor_key=actor_key, **config)
        await self.server.a_function("child", on=None, concurrency={"limit": self.limit}, **config)
        await self.workers()

    async def workers(self) -> None:
        for worker in WORKERS:
            await self.server.a_worker(worker, ("charge", "child"), jobs_max=100)

    async def do(self, action: str, which: int) -> None:
        """One thing that happens; what is refused because of the run's state changes nothing."""
        server = self.server
        try:
            match action:
                case "emit":
                    self.run_ids += (await server.emit(data={"k": which % 2, "a": which // 2 % 3})).run_ids
                case "claim":
                    self.held += await server.poll(WORKERS[which % 2], available=1 + which // 2, acked=which % 3 != 0)
                case "complete" | "fail" | "sleep" | "wait" | "invoke" if self.held:
                    await self.report(action, self.held.pop(which % len(self.held)))
                case "wake":
                    server.move(1_000)
                    await server.emit("go")
                    await server.loop("timers")
                case "silence":
                    server.move(LEASE_MS)
                    await server.loops()
                    await self.workers()
                case "pause" | "resume" | "cancel" if self.run_ids:
                    await self.control(action, self.run_ids[which % len(self.run_ids)])
        except (StaleExecution, WorkerNotFound, runs.RunEnded, controls.RunNotResumable):
            return

    async def report(self, action: str, job: Assignment) -> None:
        match action:
            case "complete":
                await self.server.report(job, "completed")
            case "fail":
                await self.server.report(job, "failed")
            case "sleep":
                await self.server.report(job, "yielded", yielded=sleeps(job, self.server.now + 1_000))
            case "wait":
                await self.server.report(job, "yielded", yielded=waits_for(job, "go"))
            case _:
                await self.server.report(job, "yielded", yielded=invokes(job, "child", invoke_timeout_ms=60_000))

    async def control(self, action: str, run_id: str) -> None:
        match action:
            case "pause":
                await self.server.call(controls.pause, run_id=run_id)
            case "resume":
                await self.server.call(controls.resume, run_id=run_id)
            case _:
                await self.server.call(runs.cancel, id=run_id)

    async def check(self, settled: bool = True) -> None:
        """settled: no change is under way, so that a free slot for which a run queues is a lost one."""
        rows = await self.server.db.read(lambda tx: tx.rows(f"{OPEN_JOBS} UNION ALL {KEEPING}"))
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
        """Lets every run finish; none may be left over."""
        for _ in range(3 * len(self.run_ids) + 12):
            shown = await self.server.runs(limit=1000)
            for run in shown:
                if run.status is RunStatus.PAUSED:
                    await self.server.call(controls.resume, run_id=run.id)
            if all(run.status.ended for run in shown):
                break
            await self.do("silence", 0)
            await self.do("wake", 0)
            for job in [job for worker in WORKERS for job in await self.server.poll(worker, available=100)]:
                await self.server.report(job, "completed")
            await self.check()
        assert {run.id: run.state for run in await self.server.runs(limit=1000) if not run.status.ended} == {}
        assert await check_fold(self.server) == len(await self.server.runs(limit=1000))
        for table in ("jobs", "timers", "waits"):
            assert await self.server.db.read(lambda tx, t=table: tx.row(f"SELECT count(*) FROM {t}")) == (0,), table


@settings(max_examples=40)
@given(
    actions=ACTIONS,
    limit=st.integers(1, 3),
    key=st.sampled_from(["", "k"]),
    pausing=st.sampled_from(["", "release"]),
    actor_key=st.sampled_from(["", "a"]),
)
def test_whatever_happens_no_slot_is_lost_and_none_is_given_twice(
    actions: list[tuple[str, int]], limit: int, key: str, pausing: str, actor_key: str
):
    async def play() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_server(Work, str(Path(folder) / "ironflow.db")) as server:
                history = Play(server, limit)
                await history.start(key, pausing, actor_key)
                for action, which in actions:
                    await history.do(action, which)
                    await history.check()
                await history.end()

    asyncio.run(play())


@pytest.fixture
async def shared(postgres_url: str) -> AsyncIterator[Work]:
    async with open_server(Work, postgres_url) as server:
        yield server


@pytest.mark.parametrize("actor_key", ["", "a"])
async def test_concurrent_actions_share_the_slots_of_a_key(shared: Work, actor_key: str):
    """As above, with many transactions of PostgreSQL under way at once."""
    chance = random.Random(7)
    history = Play(shared, 3)
    await history.start("k", "", actor_key)
    for _ in range(25):
        crowd = [(chance.choice(KINDS), chance.randrange(200)) for _ in range(16)]
        await asyncio.gather(*(history.do(*action) for action in crowd))
        await history.check()
    await history.end()

"""`kill -9` of the server, of workers and of both, at random moments.

IRONFLOW_CRASH_ROUNDS: how many kills (4). IRONFLOW_CRASH_SEED: of the random moments; printed when a test fails.
"""

import os
import secrets
from collections import Counter
from pathlib import Path

import apsw
import pytest

from ironflow import Client
from tests.crash import account
from tests.crash.errand_load import ErrandLoad
from tests.crash.scene import Scene
from tests.crash.until import became, until

ROUNDS = int(os.environ.get("IRONFLOW_CRASH_ROUNDS", "4"))
SEED = int(os.environ.get("IRONFLOW_CRASH_SEED") or secrets.randbelow(2**32))
WORKERS = 2

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60 + ROUNDS * 10)]


async def test_nothing_acknowledged_is_lost_or_executed_again_after_any_kill(tmp_path: Path, database_url: str):
    print(f"IRONFLOW_CRASH_SEED={SEED} IRONFLOW_CRASH_ROUNDS={ROUNDS}")
    with Scene(tmp_path, database_url, seed=SEED) as scene:
        await scene.start_server()
        for settings in ({}, {"stream": "1"}):
            scene.start_worker(**settings)
        async with scene.client() as client:
            await scene.workers_ready(client)
            async with ErrandLoad(scene.url, client, scene.chance) as load:
                for _ in range(ROUNDS):
                    await scene.work_goes_on(scene.chance.randint(5, 200))
                    await kill_and_restart(scene)
                for worker in scene.workers:
                    worker.thaw()
                asked = await load.stop()
            await until(lambda: all_ended(client), "all runs end", within_s=60)
            recorded = await account.read_recorded(client)

        journal = scene.journal.read()
        print(f"{len(asked.asked)} errands, {len(asked.acknowledged)} acknowledged", Counter(it.kind for it in journal))
        assert len(asked.acknowledged) > ROUNDS
        assert [*account.faults_of_events(recorded, asked)] == []
        assert [*account.faults_of_executions(recorded.steps, journal)] == []
        assert [*account.faults_of_runs(recorded, asked, journal)] == []
        assert scene.stop_server() == 0
    if not database_url.startswith("postgres"):
        assert integrity(database_url) == "ok"


async def kill_and_restart(scene: Scene) -> None:
    """Kills the server, a worker, or both, and starts them again. A starting server may be killed, too.

    Or freezes a worker until the next round, which may be longer than its lease.
    """
    chance = scene.chance
    victims = chance.choice(["server", "worker", "both", "both", "frozen"])
    for worker in scene.workers:
        worker.thaw()
    if victims == "frozen":
        chance.choice(scene.workers).freeze()
        return
    if victims != "worker":
        scene.kill_server()
    if victims != "server":
        scene.kill_worker(chance.choice(scene.workers))
    if victims != "worker":
        while chance.random() < 0.3:
            starting = scene.begin_server()
            # The moment of the kill is random on purpose: a start has no state that could be waited for.
            await became(lambda: False, chance.uniform(0, 0.6))
            starting.kill()
        await scene.start_server()
    while len(scene.workers) < WORKERS:
        # One of three kinds: our polling worker, one limited to protocol/worker-rest.md, a streaming worker.
        scene.start_worker(**chance.choice([{}, {"plain": "1"}, {"stream": "1"}]))


async def all_ended(client: Client) -> bool:
    return all([run.status.ended async for run in client.runs.list(page_size=500)])


def integrity(path: str) -> str:
    connection = apsw.Connection(path)
    try:
        return str(connection.pragma("integrity_check"))
    finally:
        connection.close()

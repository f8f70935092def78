"""`kill -9` at random moments under runs that wait, invoke and compensate, debounced events and cron triggers.

As test_kill: IRONFLOW_CRASH_SEED and IRONFLOW_CRASH_ROUNDS.
"""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ironflow import Client
from tests.crash import account, journey_account
from tests.crash.journey_load import JourneyLoad
from tests.crash.journeys import TICK
from tests.crash.scene import Scene
from tests.crash.test_kill import ROUNDS, SEED, WORKERS, all_ended, integrity, kill_and_restart
from tests.crash.until import until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120 + ROUNDS * 10)]


async def test_waits_children_debounces_cron_and_compensations_survive_every_kill(tmp_path: Path, database_url: str):
    print(f"IRONFLOW_CRASH_SEED={SEED} IRONFLOW_CRASH_ROUNDS={ROUNDS}")
    with Scene(tmp_path, database_url, seed=SEED, work="tests.crash.journeys") as scene:
        await scene.start_server()
        for _ in range(WORKERS):
            scene.start_worker()
        async with scene.client() as client:
            await scene.workers_ready(client)
            async with JourneyLoad(client, scene.chance) as load:
                for _ in range(ROUNDS):
                    await scene.work_goes_on(scene.chance.randint(5, 150))
                    await kill_and_restart(scene)
                for worker in scene.workers:
                    worker.thaw()
                await load.stop()
                moment = datetime.now(UTC)
                await until(lambda: ticked_since(client, moment), "the cron trigger fires again")
                await client.functions.update_status(TICK, "paused")
                await until(lambda: nothing_gathered(client), "all gathered events have started their runs")
                await until(lambda: all_ended(client), "all runs end", within_s=90)
            ledger = await journey_account.read_ledger(client)

        journal, emissions = scene.journal.read(), load.emissions
        counted = Counter(f"{run.function_id} {run.status}" for run in ledger.runs.values())
        print(f"{len(emissions.journeys)} journeys, {len(emissions.gatherings)} gatherings", counted)
        assert len(emissions.acknowledged) > ROUNDS
        assert [*journey_account.faults_of_journeys(ledger, emissions, journal)] == []
        assert [*journey_account.faults_of_gatherings(ledger, emissions)] == []
        assert [*journey_account.faults_of_ticks(ledger)] == []
        assert [*account.faults_of_executions(ledger.steps, journal)] == []
        assert scene.stop_server() == 0
    if not database_url.startswith("postgres"):
        assert integrity(database_url) == "ok"


async def ticked_since(client: Client, moment: datetime) -> bool:
    return bool([event async for event in client.events.list(source="cron", since=moment)])


async def nothing_gathered(client: Client) -> bool:
    return not [lane async for lane in client.debounces.list()]

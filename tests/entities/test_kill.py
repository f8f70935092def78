"""`kill -9` of servers and workers while handlers of entities run: each change once, in the stream and in the row."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash.scene import Scene
from tests.crash.until import until

KEYS = ("a", "b")
CALLS = 8
KILLS = 5


@pytest.mark.processes
@pytest.mark.timeout(300)
async def test_each_change_is_made_once_and_the_state_is_the_fold_of_its_stream(tmp_path: Path, database_url: str):
    with Scene(tmp_path, database_url, seed=11, work="tests.entities.accounts") as scene:
        async with scene.working() as client:
            sent: dict[str, list[str]] = {key: [] for key in KEYS}
            for n in range(CALLS):
                for key in KEYS:
                    data = {"n": n, "amount": n + 1}
                    run = await client.entities.send("account", key, "add", data, idempotency_key=f"{key}-{n}")
                    sent[key].append(run.run_id)
            for kill in range(KILLS):
                await asyncio.sleep(scene.chance.uniform(0.1, 0.6))
                if kill % 2:
                    scene.kill_worker(scene.workers[0])
                    scene.start_worker(**({"stream": "1"} if kill % 4 == 1 else {}))
                else:
                    scene.kill_server()
                    await scene.start_server()

            async def all_ended() -> bool:
                found = [(await client.runs.get(run_id)).ended_at for key in KEYS for run_id in sent[key]]
                return all(at is not None for at in found)

            await until(all_ended, "all calls end", within_s=120)
            for key in KEYS:
                runs = [await client.runs.get(run_id) for run_id in sent[key]]
                state = await client.entities.get("account", key)
                events = [event async for event in client.entities.history("account", key)]

                assert [(run.status, run.error) for run in runs] == [("completed", None)] * CALLS
                # One after another, in the order in which they were sent: each begins where the one before ended.
                balances = [sum(range(1, n + 1)) for n in range(CALLS + 1)]
                assert [run.output for run in runs] == [list(pair) for pair in pairwise(balances)]
                assert state.state == {"balance": balances[-1], "seen": list(range(CALLS))}
                assert (state.state, state.version) == (events[-1].data, events[-1].entity_version)
                # Each change is one event: before the first step, before the second, and at the end.
                assert [event.run_id for event in events] == [run_id for run_id in sent[key] for _ in range(3)]

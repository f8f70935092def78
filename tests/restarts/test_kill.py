"""`kill -9` of servers and workers while runs receive messages and restart."""

import asyncio
from pathlib import Path

import pytest

from ironflow.base.errors import IronflowError
from tests.crash.scene import Scene
from tests.crash.until import until
from tests.restarts.looping import EACH

CHATS = 4
MESSAGES = 25
KILLS = 6


@pytest.mark.processes
@pytest.mark.timeout(300)
async def test_each_restart_happens_once_and_each_message_is_taken_once_in_order(tmp_path: Path, database_url: str):
    with Scene(tmp_path, database_url, seed=11, work="tests.restarts.looping") as scene:
        async with scene.working() as client:
            firsts = [
                (await client.invoke("chat", key=f"c{number}", idempotency_key=f"i{number}")).run_id
                for number in range(CHATS)
            ]

            async def send_all(number: int) -> None:
                for each in [*range(MESSAGES), "stop"]:
                    while True:
                        try:
                            await client.send("chat", f"c{number}", "prompt", each, idempotency_key=f"{number}-{each}")
                            break
                        except IronflowError:
                            await asyncio.sleep(0.05)

            sending = asyncio.gather(*map(send_all, range(CHATS)))
            for kill in range(KILLS):
                await asyncio.sleep(scene.chance.uniform(0.1, 0.6))
                if kill % 2:
                    scene.kill_worker(scene.workers[0])
                    scene.start_worker(**({"stream": "1"} if kill % 4 == 1 else {}))
                else:
                    scene.kill_server()
                    await scene.start_server()
            await sending

            async def all_ended() -> bool:
                found = [await client.runs.get(run_id, last=True) for run_id in firsts]
                return all(each.status.ended for each in found)

            await until(all_ended, "all chains end", within_s=120)
            chains = [[each async for each in client.runs.chain(run_id)] for run_id in firsts]
            every = [run async for run in client.runs.list(function_id="chat", page_size=1_000)]

    for chain in chains:
        last = chain[-1]
        assert (last.status, last.error) == ("completed", None)
        assert last.output == {"seen": list(range(MESSAGES)), "links": MESSAGES // EACH + 1}
        assert [each.link for each in chain] == list(range(MESSAGES // EACH + 1))
    assert len(every) == sum(map(len, chains))

"""`kill -9` at each point between what a long-lived run records and its answer: all of it happened once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ironflow import Client
from ironflow.features.messages import contract as messages
from tests.crash.long_lived import IN_A_LINK, MOMENTS, POINTS
from tests.crash.scene import Scene

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]
KILLED = ("worker", "server", "both")
ASKED = (1, 2, 3)
AMOUNTS = (5, 7)


@pytest.mark.parametrize("killed", KILLED)
async def test_what_a_long_lived_run_records_happens_once_whatever_is_killed(
    tmp_path: Path, database_url: str, killed: str
) -> None:
    with Scene(tmp_path, database_url, work="tests.crash.long_lived") as scene:
        await scene.start_server()
        async with scene.client() as client:
            for number, point in enumerate(POINTS):
                # Polling and streaming workers by turns; each moment has both.
                streams = (number // len(MOMENTS) + number + KILLED.index(killed)) % 2
                stream = {"stream": "yes"} if streams else {}
                assert scene.server is not None
                pids = {"worker": "0", "server": str(scene.server.pid), "both": f"{scene.server.pid},0"}[killed]
                worker = scene.start_worker(point=point, kills=pids, **stream)
                await scene.workers_ready(client)
                key = point.replace(" ", "-")
                working = asyncio.gather(asks(client, key), changes(client, key))
                await scene.replace_killed(killed, worker, point, stream, within_s=60)
                answers, outputs = await working
                assert (answers, outputs) == ([1, 3, 6], [[0, 5], [5, 12]]), point
                await check_run(client, key, point)
                await check_entity(client, key, point)
                for each in list(scene.workers):
                    scene.kill_worker(each)


async def asks(client: Client, key: str) -> list[Any]:
    """Asks, one question after another, and ends the run."""
    more: dict[str, Any] = {"start": True, "input": {"total": 0}}
    answers = [
        await client.ask("tally", key, "add", number, idempotency_key=f"{key}-{number}", timeout="90s", **more)
        for number in ASKED
    ]
    await client.send("tally", key, "add", "stop", idempotency_key=f"{key}-stop", **more)
    await client.runs.wait("tally", key=key, timeout="90s")
    return answers


async def changes(client: Client, key: str) -> list[Any]:
    """Calls the entity twice; the second call waits for the first."""
    sent = [
        await client.entities.send("account", key, "add", amount, idempotency_key=f"{key}-{amount}")
        for amount in AMOUNTS
    ]
    return [(await client.runs.wait(each.run_id, timeout="90s")).output for each in sent]


async def check_run(client: Client, key: str, point: str) -> None:
    links = [link async for link in client.runs.chain("tally", key=key)]
    steps = [step.name for link in links for step in await client.runs.steps(link.id)]
    kept = [run.id async for run in client.runs.list(function_id="tally", page_size=1_000) if run.key == key]

    assert [link.status for link in links] == ["completed"] * (len(ASKED) // IN_A_LINK + 1), point
    assert links[-1].output == sum(ASKED), point
    # One restart, and no run beside the chain had the key.
    assert sorted(kept) == sorted(link.id for link in links), point
    assert (steps.count("add"), steps.count("work"), steps.count("note")) == (len(ASKED) + 1, len(ASKED), len(ASKED)), (
        point
    )
    # Of each link the value that belongs to its last step.
    assert [await client.runs.value(link.id, "shown") for link in links] == [3, 6], point
    unread = await client.call(messages.list_, messages.ListMessages(run_id=f"tally:{key}", unread=True))
    assert unread.messages == [], point


async def check_entity(client: Client, key: str, point: str) -> None:
    state = await client.entities.get("account", key)
    events = [event async for event in client.entities.history("account", key)]

    assert state.state == {"balance": sum(AMOUNTS)}, point
    assert (state.state, state.version) == (events[-1].data, events[-1].entity_version), point
    assert [event.data for event in events] == [
        {"balance": 5, "pending": 5}, {"balance": 5}, {"balance": 12, "pending": 7}, {"balance": 12},
    ], point  # fmt: skip

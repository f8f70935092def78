"""The consumer of the guide under a server that is killed again and again: it goes on, and handles every event.

IRONFLOW_CRASH_ROUNDS: how many kills (2).
"""

import asyncio
import os
from pathlib import Path

import pytest

from ironflow import Client
from ironflow.base.errors import IronflowError
from ironflow.sdk.client.connection.subscription import AckMode
from tests.crash.processes import Process, reserved_port
from tests.crash.until import until
from tests.wire.server_process import Server

ROUNDS = int(os.environ.get("IRONFLOW_CRASH_ROUNDS", "2"))
# Handled between two kills: about as much as a consumer does in 3 s when each event takes 50 ms.
BETWEEN_KILLS = 60

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120 + ROUNDS * 30)]


class Incarnations:
    """A server that starts again on its port and database after each kill."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port, self._number = folder, port, 0
        self.process: Process

    def start(self) -> None:
        self._number += 1
        folder = self._folder / f"incarnation-{self._number}"
        folder.mkdir()
        database = str(self._folder / "ironflow.db")
        environment = {"IRONFLOW_DB": database, "IRONFLOW_PORT": str(self._port), "IRONFLOW_DEV": "true"}
        self.process = Process("server", ["ironflow.server.run"], folder, environment)
        Server(self.process)

    def kill_and_start(self) -> None:
        self.process.kill()
        self.start()


@pytest.mark.parametrize("ack", ["manual", "auto"])
async def test_a_consumer_outlives_kills_of_the_server_and_handles_every_event(tmp_path: Path, ack: AckMode):
    held, port = reserved_port()
    server = Incarnations(tmp_path, port)
    handled: list[int] = []
    faults: list[IronflowError] = []
    published = 0
    with held:
        await asyncio.to_thread(server.start)
        async with Client(f"http://127.0.0.1:{port}") as client:

            async def consume() -> None:
                async for event in client.subscribe("topic:work", group="crew", ack=ack, on_error=faults.append):
                    handled.append(event.data)
                    if ack == "manual":
                        await event.ack()

            async def publish() -> None:
                nonlocal published
                while True:
                    try:
                        await client.publish("work", published, idempotency_key=f"k{published}")
                    except IronflowError:
                        continue
                    published += 1
                    await asyncio.sleep(0.01)

            await client.consumer_groups.create(
                "crew", "topic:work", ack=ack, max_redeliveries=100, redeliver_delay="100ms"
            )
            consumer, publisher = asyncio.create_task(consume()), asyncio.create_task(publish())
            try:
                for _ in range(ROUNDS):
                    goal = len(set(handled)) + BETWEEN_KILLS
                    await until(lambda goal=goal: len(set(handled)) >= goal or consumer.done(), "events are handled")
                    await asyncio.to_thread(server.kill_and_start)
                publisher.cancel()
                await asyncio.gather(publisher, return_exceptions=True)
                # What a killed server had handed out comes again when the lease of its member is over.
                await until(lambda: set(handled) >= set(range(published)) or consumer.done(), "every event is handled")
                assert not consumer.done()
                found = await client.consumer_groups.get("crew")
                assert found.dead_letters == 0
            finally:
                publisher.cancel()
                consumer.cancel()
                await asyncio.gather(publisher, consumer, return_exceptions=True)
                server.process.kill()

    assert published >= ROUNDS * BETWEEN_KILLS
    assert len(faults) >= ROUNDS
    # A kill repeats no more than what its member had.
    assert len(handled) - len(set(handled)) <= (ROUNDS + 1) * 8

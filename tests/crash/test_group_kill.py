"""A server under load that is killed or restarted repeatedly: every acknowledged message reaches a member of the group,
and a subscriber that resumes after the last sequence it received.

Recorded outside of the server: the acknowledged messages, and the messages that each reader received.
IRONFLOW_CRASH_ROUNDS: how many interruptions (2), a kill and a restart in turn.
"""

import asyncio
import json
import os
import random
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.crash.processes import Process
from tests.crash.until import until
from tests.support.postgres import fresh_schema
from tests.support.waiting import eventually

ROUNDS = int(os.environ.get("IRONFLOW_CRASH_ROUNDS", "2"))

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180 + ROUNDS * 15)]

# The pause before a client connects again, as clients have it.
RECONNECT_S = 0.02
GROUP = {
    "name": "billing",
    "pattern": "topic:mail",
    "ack_mode": "manual",
    "max_redeliveries": 100,
    "redeliver_delay_ms": 1_000,
}


class Server:
    """A server that is killed and restarted on the same database, at another port."""

    def __init__(self, folder: Path, db: str) -> None:
        self._folder, self._db, self._incarnation = folder, db, 0
        self.address = ""
        self._process: Process | None = None

    def start(self) -> None:
        self._incarnation += 1
        folder = self._folder / f"incarnation-{self._incarnation}"
        folder.mkdir()
        environment = {"IRONFLOW_DB": self._db, "IRONFLOW_PORT": "0", "IRONFLOW_DEV": "true"}
        process = self._process = Process("server", ["ironflow.server.run"], folder, environment)
        eventually(lambda: process.output.read_bytes().endswith(b"\n") or process.exit_code is not None)
        assert process.exit_code is None, process.log.read_text()
        self.address = json.loads(process.output.read_bytes())["address"]

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self.address = ""

    def stop(self) -> None:
        """With SIGTERM."""
        assert self._process is not None
        assert self._process.stop() == 0
        self.address = ""


class Load:
    """Publishers, members of a group and a subscriber, which reconnect to every incarnation of the server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.answered: set[str] = set()
        self.received: dict[str, int] = {}
        # The messages that the subscriber received, in order, and their sequences.
        self.seen: list[str] = []
        self.sequences = [0]
        self.acked = 0
        self._ended = asyncio.Event()

    async def publish(self, name: str) -> None:
        number = 0
        async with httpx.AsyncClient(timeout=5) as client:
            while not self._ended.is_set():
                key = f"{name}-{number}"
                body = {"topic": "mail", "data": {"key": key}, "idempotency_key": key}
                try:
                    answer = await client.post(f"{self.server.address}/api/v1/topics/publish", json=body)
                    answer.raise_for_status()
                except (httpx.HTTPError, httpx.InvalidURL):
                    # It may have been recorded, or not: with its key it can be sent again.
                    await asyncio.sleep(RECONNECT_S)
                    continue
                self.answered.add(key)
                number += 1

    async def consume(self) -> None:
        while True:
            try:
                async with connect(self.server.address.replace("http", "ws", 1) + "/ws") as socket:
                    options = {"consumerGroup": "billing", "ackMode": "manual"}
                    subscription = {"pattern": "topic:mail", "options": options}
                    await socket.send(json.dumps({"type": "subscribe", "subscription": subscription}))
                    async for text in socket:
                        frame = json.loads(text)
                        if frame["type"] != "event":
                            continue
                        key = frame["data"]["key"]
                        self.received[key] = self.received.get(key, 0) + 1
                        await socket.send(json.dumps({"type": "ack", "eventId": frame["eventId"], "ackType": "ack"}))
                        self.acked += 1
            except (WebSocketException, OSError, ValueError):
                await asyncio.sleep(RECONNECT_S)

    async def follow(self) -> None:
        while True:
            try:
                async with connect(self.server.address.replace("http", "ws", 1) + "/ws") as socket:
                    options = {"startAfterSequence": self.sequences[-1], "includeMetadata": True}
                    subscription = {"pattern": "topic:mail", "options": options}
                    await socket.send(json.dumps({"type": "subscribe", "subscription": subscription}))
                    async for text in socket:
                        frame = json.loads(text)
                        if frame["type"] == "event":
                            self.seen.append(frame["data"]["key"])
                            self.sequences.append(frame["meta"]["sequence"])
            except (WebSocketException, OSError, ValueError):
                await asyncio.sleep(RECONNECT_S)

    async def until_acked(self, count: int) -> None:
        await until(lambda: self.acked >= count, "members ack messages")

    def end(self) -> None:
        self._ended.set()


async def nothing_remains(server: Server) -> bool:
    async with httpx.AsyncClient() as client:
        found = (await client.get(f"{server.address}/api/v1/consumer-groups/billing")).json()
        return not any(found[name] for name in ("lag", "in_flight", "waiting", "dead_letters"))


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_nothing_is_lost_when_the_server_is_killed_or_restarted_under_load(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
):
    chance = random.Random(7)
    if database == "postgres":
        with fresh_schema(request.getfixturevalue("postgres_database")) as db:
            await survive(Server(tmp_path, db), chance)
    else:
        await survive(Server(tmp_path, str(tmp_path / "ironflow.db")), chance)


async def survive(server: Server, chance: random.Random) -> None:
    server.start()
    async with httpx.AsyncClient() as client:
        (await client.post(f"{server.address}/api/v1/consumer-groups", json=GROUP)).raise_for_status()
    load = Load(server)
    publishers = [asyncio.create_task(load.publish(f"p{n}")) for n in range(8)]
    members = [asyncio.create_task(load.consume()) for _ in range(3)]
    subscriber = asyncio.create_task(load.follow())
    try:
        for number in range(ROUNDS):
            await load.until_acked(load.acked + chance.randint(100, 400))
            await asyncio.to_thread(server.stop if number % 2 else server.kill)
            await asyncio.to_thread(server.start)
        load.end()
        await asyncio.gather(*publishers)
        await until(lambda: nothing_remains(server), "the group has nothing left to deliver")
        await until(lambda: load.answered <= set(load.seen), "the subscriber has received every message")
    finally:
        load.end()
        for task in (*publishers, *members, subscriber):
            task.cancel()
        await asyncio.gather(*publishers, *members, subscriber, return_exceptions=True)
        server.kill()

    assert len(load.answered) > ROUNDS * 100
    assert load.answered - set(load.received) == set()
    # What was recorded and not acknowledged may have been delivered too; no other message was.
    assert {key.partition("-")[0] for key in load.received} <= {f"p{n}" for n in range(8)}
    again = sum(count - 1 for count in load.received.values())
    assert again < len(load.received)
    # The subscriber received each once, in the order of the log.
    assert load.sequences == sorted(set(load.sequences))
    assert len(load.seen) == len(set(load.seen))

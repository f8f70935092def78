"""Question: how many messages a second do the members of a consumer group process with manual acks, and how soon does
a member receive a message?

Method: a backlog is published first. Then four members on WebSockets ack each message as it comes; the time ends when
the server reports an empty backlog, so every ack is on disk. The delay is from sending a publish to receiving the
message, one at a time, with one member. Last, what a publish costs the server without and with members of groups that
read other topics.
"""

import asyncio
import json
import time

import aiohttp

from benchmarks.answers import Figure
from benchmarks.load import ClosedLoop, percentile
from benchmarks.processes import Process, Workspace
from benchmarks.publish import PUBLISH, publish
from ironflow import Client

BACKLOG = 20_000
MEMBERS = 4
MAX_INFLIGHT = 1_000
DELAYS = 300
BYSTANDERS = 100
OTHERS_S = 3.0
PUBLISHERS = 16
TOPIC = "bench.plain"


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    async with Client(address) as client:
        await client.consumer_groups.create("bench", f"topic:{TOPIC}", ack="manual", max_inflight=MAX_INFLIGHT)
        await ClosedLoop(address, 64, lambda _: PUBLISH, lambda reply: reply.status == 200).run(60.0, BACKLOG)
        before = server.cpu_seconds()
        count, seconds = await work_off(client, address)
        spent_us = (server.cpu_seconds() - before) / count * 1e6
        delays_ms = await delays(client, address)
        alone_us = (await publish(server, address, PUBLISHERS, OTHERS_S)).spent_us
        among_us = await among_bystanders(server, address)
    return [
        Figure(name="messages acked by 4 members", value=count / seconds, unit="/s", target=5_000),
        Figure(name="processor time of the server for one", value=spent_us, unit="µs", better="less"),
        Figure(name="publish to member p50", value=percentile(delays_ms, 50), unit="ms", better="less"),
        Figure(name="publish to member p99", value=percentile(delays_ms, 99), unit="ms", better="less"),
        Figure(
            name=f"processor time of a publish with {BYSTANDERS} groups of other topics, in units of one without",
            value=among_us / alone_us,
            unit="times",
            target=1.1,
            better="less",
        ),
    ]


async def work_off(client: Client, address: str) -> tuple[int, float]:
    """The number of processed messages, and the seconds."""
    seen: set[str] = set()
    begun = time.perf_counter()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        members = [tasks.create_task(member(session, address, seen)) for _ in range(MEMBERS)]
        while (group := await client.consumer_groups.get("bench")).lag or group.in_flight or not seen:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        seconds = time.perf_counter() - begun
        for each in members:
            each.cancel()
    return len(seen), seconds


async def member(session: aiohttp.ClientSession, address: str, seen: set[str]) -> None:
    async with session.ws_connect(f"{address}/ws") as socket:
        options = {"consumerGroup": "bench", "ackMode": "manual"}
        wish = {"pattern": f"topic:{TOPIC}", "options": options}
        await socket.send_json({"type": "subscribe", "subscription": wish})
        async for message in socket:
            frame = json.loads(message.data)
            if frame["type"] == "event":
                seen.add(frame["eventId"])
                await socket.send_str(f'{{"type":"ack","eventId":"{frame["eventId"]}","ackType":"ack"}}')


async def among_bystanders(server: Process, address: str) -> float:
    """The server's microseconds for a publish while members of many groups wait for other topics."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}/ws") as socket:
        subscriptions = [
            {"pattern": f"topic:other.{number}.>", "options": {"consumerGroup": f"other-{number}"}}
            for number in range(BYSTANDERS)
        ]
        await socket.send_json({"type": "subscribe", "subscriptions": subscriptions})
        results = (await socket.receive_json())["results"]
        assert all(result["status"] == "ok" for result in results), results
        return (await publish(server, address, PUBLISHERS, OTHERS_S)).spent_us


async def delays(client: Client, address: str) -> list[float]:
    """Milliseconds from publishing to receiving the message, sorted."""
    found: list[float] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}/ws") as socket:
        options = {"consumerGroup": "bench", "ackMode": "manual"}
        await socket.send_json({"type": "subscribe", "subscription": {"pattern": f"topic:{TOPIC}", "options": options}})
        await socket.receive_json()
        for number in range(DELAYS):
            begun = time.perf_counter()
            publishing = asyncio.create_task(client.publish(TOPIC, {"n": number}))
            frame = await socket.receive_json()
            found.append((time.perf_counter() - begun) * 1000)
            await publishing
            await socket.send_json({"type": "ack", "eventId": frame["eventId"], "ackType": "ack"})
    return sorted(found)

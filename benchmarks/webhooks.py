"""Question: how many webhooks a second does the server accept durably, with 64 connections?

Method: deliveries of a small event (about 150 bytes) to a source that verifies GitHub's signature, each with an id of
its own and a signature made before the measurement; the event starts no run. A response means that delivery and event
are on disk. Beside it: the same delivery over and over, which is answered as a duplicate.
"""

import json
import time

from benchmarks.answers import Figure
from benchmarks.limits import ECHO_64
from benchmarks.load import ClosedLoop, Measured
from benchmarks.processes import Process, Workspace
from ironflow import Client
from ironflow.base.webhook.presets import PRESETS, sign_headers

SECONDS = 6.0
SECRET = "s3cret"
BODY = json.dumps({"order": "ord_4711", "customer": {"id": "cus_815"}, "total": 12900, "note": "x" * 60}).encode()


def delivery(source_id: str, token: str, signed: dict[str, str], delivery_id: str) -> bytes:
    """The bytes of one delivery."""
    headers = {**signed, "X-GitHub-Event": "push", "X-GitHub-Delivery": delivery_id, "Content-Length": str(len(BODY))}
    head = f"POST /api/v1/webhooks/{source_id}?token={token} HTTP/1.1\r\nHost: localhost\r\n"
    return (head + "".join(f"{name}: {value}\r\n" for name, value in headers.items())).encode() + b"\r\n" + BODY


async def accept(server: Process, address: str, *, again: bool) -> Measured:
    async with Client(address) as client:
        source = await client.webhooks.create("bench", preset="github", secret=SECRET)
    signed = sign_headers(PRESETS["github"].descriptor, BODY, SECRET, time.time_ns() // 1_000_000)
    token = source.ingest_token or ""
    load = ClosedLoop(
        address,
        64,
        lambda number: delivery(source.id, token, signed, "same" if again else f"d{number}"),
        lambda reply: reply.status == 200,
        server.cpu_seconds,
    )
    return await load.best(SECONDS)


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    new = await accept(server, address, again=False)
    repeated = await accept(server, address, again=True)
    return [
        Figure(name="webhooks at 64 connections", value=new.per_second, unit="/s", target=5_000, limit=ECHO_64),
        Figure(name="webhook p99 at 64 connections", value=new.percentile(99), unit="ms", better="less"),
        Figure(name="processor time of the server for one", value=new.spent_us, unit="µs", better="less"),
        Figure(name="repeated webhooks at 64 connections", value=repeated.per_second, unit="/s"),
    ]

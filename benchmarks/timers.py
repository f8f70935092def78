"""Question: how late do 2,000 sleeps awake that are all due at the same moment?

Method: 2,000 runs sleep until one moment. Two clocks look: a reader of the database file that counts, every millisecond,
how many sleeps are over (a commit makes it visible); and the worker (2,000 slots), which says when each handler went
on, which includes handing out and replaying 2,000 runs on a busy machine.
"""

import asyncio
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw

from benchmarks.answers import Figure
from benchmarks.load import ClosedLoop, percentile, request_of
from benchmarks.processes import Ground
from benchmarks.worker import SLEEPER
from ironflow import Client

SLEEPERS = 2000
# Enough for all of them to be asleep before.
LEAD_S = 12.0


async def run(ground: Ground) -> list[Figure]:
    _, address = await ground.server()
    await ground.worker(address, f"slots={SLEEPERS}")
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LEAD_S)
    await put_to_sleep(address, SLEEPERS, due.isoformat())
    watch = Watch(ground.folder / "bench.db", due.timestamp())
    await watch.until_asleep(SLEEPERS)
    if time.time() > due.timestamp():
        raise RuntimeError("the machine is too busy: the sleeps were due before all were asleep")
    watch.start()
    async with Client(address) as client:
        went_on = sorted((await _awake_at(client, SLEEPERS) - due.timestamp()) * 1000)
    woken = watch.stop()
    return [
        Figure(name="sleep over p50", value=percentile(woken, 50), unit="ms", better="less"),
        Figure(name="sleep over p99", value=percentile(woken, 99), unit="ms", target=20, better="less"),
        Figure(name="handler goes on p50", value=percentile(went_on, 50), unit="ms", better="less"),
        Figure(name="handler goes on p99", value=percentile(went_on, 99), unit="ms", better="less"),
    ]

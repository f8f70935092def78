"""Sleeping runs: start many of them, and observe the ends of their sleeps from outside."""

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import apsw

from benchmarks.load import ClosedLoop, Reply, request_of
from benchmarks.worker import SLEEPER
from ironflow import Client

BATCH = 500
LOOK_EVERY_S = 0.001


async def put_to_sleep(address: str, count: int, until: str) -> None:
    """Starts `count` runs that sleep until a time (RFC 3339)."""
    await start_runs(address, count, {"event": SLEEPER, "data": {"until": until}})


async def all_ended(client: Client, within_s: float) -> None:
    """Returns when every run has ended. Raises RuntimeError when they do not."""
    end = time.monotonic() + within_s
    while (active := (await client.info()).active_runs) > 0:
        if time.monotonic() > end:
            raise RuntimeError(f"after {within_s:g} s {active} runs have not ended")
        await asyncio.sleep(0.05)


async def start_runs(address: str, count: int, item: dict[str, Any]) -> None:
    """Emits `count` events in batches of BATCH."""
    batch = request_of("POST", "/api/v1/events/batch", json.dumps({"events": [item] * BATCH}).encode())

    def stored(reply: Reply) -> bool:
        return reply.status == 200 and b'"error"' not in reply.body

    await ClosedLoop(address, 1, lambda _: batch, stored).run(60.0, count // BATCH)


class Watch:
    """Reads the commits in the server's file from outside."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._thread = threading.Thread(target=self._look)
        self._due = 0.0
        self._late_ms: list[float] = []

    async def until_asleep(self, count: int, within_s: float) -> None:
        """Returns when `count` runs sleep. Raises RuntimeError when they do not."""
        connection = self._connect()
        end = time.monotonic() + within_s
        while _timers(connection) < count:
            if time.monotonic() > end:
                raise RuntimeError(f"after {within_s:g} s only {_timers(connection)} of {count} runs are asleep")
            await asyncio.sleep(0.05)
        connection.close()

    def start(self, due: float) -> None:
        """Starts polling, until no timer is left. due: seconds since 1970."""
        self._due = due
        self._thread.start()

    def stop(self) -> list[float]:
        """The delay of the end of each sleep, in milliseconds, sorted."""
        self._thread.join()
        return self._late_ms

    def _look(self) -> None:
        connection = self._connect()
        left = _timers(connection)
        while left:
            time.sleep(LOOK_EVERY_S)
            now_left, now = _timers(connection), time.time()
            self._late_ms += [(now - self._due) * 1000] * (left - now_left)
            left = now_left
        connection.close()

    def _connect(self) -> apsw.Connection:
        return apsw.Connection(str(self._file), flags=apsw.SQLITE_OPEN_READONLY)


def _timers(connection: apsw.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM timers").fetchone()
    return int(row[0]) if row else 0

"""Question: with 500 runs in flight, how long from `kill -9` until all of them have ended, and does any step run twice?

Method: 500 runs of three steps of 0.3 s each execute in one worker process, which reports finished steps within
50 ms; in the middle the processes are killed and started again at once. `server`: only the server, on its default
settings; the worker continues. `both`: server and worker, with a lease of 1 s, because the leases of the killed
worker must expire first. A step counts as repeated when its body starts after the server has recorded it. Without
a kill the runs would
need about 0.9 s; when they are killed, about 0.45 s of work is left.
"""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from benchmarks.answers import Figure
from benchmarks.processes import Workspace
from benchmarks.sleepers import all_ended, start_runs
from benchmarks.worker import SLOW, SLOW_STEP_S
from ironflow import Client
from ironflow.sdk.wire.retries import Retries

IN_FLIGHT = 500
WITHIN_S = 60.0


async def run(workspace: Workspace) -> list[Figure]:
    figures: list[Figure] = []
    for victims, settings in (("server", {}), ("both", {"lease_ms": "1000"})):
        folder = workspace.folder / victims
        folder.mkdir()
        figures += await _one(workspace, folder, victims, settings)
    return figures


async def _one(workspace: Workspace, folder: Path, victims: str, settings: dict[str, str]) -> list[Figure]:
    settings = {**settings, "db": str(folder / "bench.db")}
    journal = folder / "journal.jsonl"
    arguments = [f"slots={IN_FLIGHT}", f"journal={journal}"]
    server, address = await workspace.server(**settings)
    worker = await workspace.worker(address, *arguments)
    await start_runs(address, IN_FLIGHT, {"event": SLOW, "data": {}})
    await _in_the_middle(journal)
    killed_at = time.perf_counter()
    server.kill()
    if victims == "both":
        worker.kill()
    starting = workspace.server(**settings, port=address.rpartition(":")[2])
    if victims == "both":
        await asyncio.gather(starting, workspace.worker(address, *arguments))
    else:
        await starting
    serving_s = time.perf_counter() - killed_at
    async with Client(address, retries=Retries(attempts=100, max_s=0.2)) as client:
        await all_ended(client, WITHIN_S)
    done_s = time.perf_counter() - killed_at
    executed, again = made_again(journal, folder / "bench.db")
    return [
        Figure(name=f"{victims} killed: serves again", value=serving_s, unit="s", better="less"),
        Figure(name=f"{victims} killed: all done", value=done_s, unit="s", target=5, better="less"),
        Figure(name=f"{victims} killed: steps executed", value=executed, unit="", better="less"),
        Figure(name=f"{victims} killed: recorded steps made again", value=again, unit="", target=0, better="less"),
    ]


async def _in_the_middle(journal: Path) -> None:
    """Returns when every run is half-way through its second step."""
    await _until(lambda: journal.exists() and journal.read_bytes().count(b'"second"') >= IN_FLIGHT, "runs are in work")
    await asyncio.sleep(SLOW_STEP_S / 2)


def made_again(journal: Path, file: Path) -> tuple[int, int]:
    """The number of executed steps, and of those that were already recorded.

    Raises RuntimeError when a run is not completed with all its steps.
    """
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    rows = connection.execute("SELECT run_id, name, created_at FROM steps WHERE status = 'completed'").fetchall()
    (completed,) = connection.execute("SELECT count(*) FROM runs WHERE status = 'completed'").fetchone() or (0,)
    connection.close()
    if completed != IN_FLIGHT or len(rows) != IN_FLIGHT * 3:
        raise RuntimeError(f"{completed} runs are completed with {len(rows)} steps")
    recorded_at = {(run, step): at for run, step, at in rows}
    executed = [json.loads(line) for line in journal.read_text().splitlines()]
    return len(executed), sum(each["at_ms"] > recorded_at[each["run"], each["step"]] for each in executed)


async def _until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"within {WITHIN_S:g} s it never came true that {what}")
        await asyncio.sleep(0.01)

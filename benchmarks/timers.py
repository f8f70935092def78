"""Question: how late do 2,000 sleeps end that are all due at the same time?

Method: 2,000 runs sleep until one time. Two observers measure: a reader of the database file counts the ended sleeps
every millisecond (a commit makes them visible); and the worker (2,000 slots) returns when each handler continued,
which includes the hand-out and replay of 2,000 runs, on an otherwise idle machine. Before that, 100 runs sleep until
different times, a twentieth of a second apart: how late does a single one continue?
"""

from datetime import UTC, datetime, timedelta

from benchmarks.answers import Figure
from benchmarks.load import percentile
from benchmarks.processes import Workspace
from benchmarks.sleepers import Watch, all_ended, put_to_sleep
from benchmarks.worker import SLEEPER
from ironflow import Client

SLEEPERS = 2000
# Enough for all of them to be asleep before.
LEAD_S = 10.0
ALONE = 100
APART_S = 0.05


async def alone_ms(address: str) -> list[float]:
    """The delays of handlers of runs that slept until different times, sorted."""
    first = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    until = [(first + number * timedelta(seconds=APART_S)).isoformat() for number in range(ALONE)]
    async with Client(address, timeout="60s") as client:
        for moment in until:
            await client.emit(SLEEPER, {"until": moment})
        await all_ended(client, within_s=ALONE * APART_S + 30)
        runs = [run async for run in client.runs.list(page_size=1000)]
    late = [run.output["awake_at"] - datetime.fromisoformat(run.input["until"]).timestamp() for run in runs]
    return sorted(each * 1000 for each in late)


async def run(workspace: Workspace) -> list[Figure]:
    _, address = await workspace.server()
    await workspace.worker(address, f"slots={SLEEPERS}")
    alone = await alone_ms(address)
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LEAD_S)
    await put_to_sleep(address, SLEEPERS, due.isoformat())
    watch = Watch(workspace.folder / "bench.db")
    await watch.until_asleep(SLEEPERS, within_s=LEAD_S)
    watch.start(due.timestamp())
    async with Client(address, timeout="60s") as client:
        await all_ended(client, within_s=LEAD_S + 30)
        newest = [run async for run in client.runs.list(page_size=1000)][:SLEEPERS]
        awake_at = [run.output["awake_at"] for run in newest]
    over_ms = watch.stop()
    went_on_ms = sorted((at - due.timestamp()) * 1000 for at in awake_at)
    return [
        Figure(name="sleep over p50", value=percentile(over_ms, 50), unit="ms", better="less"),
        Figure(name="sleep over p99", value=percentile(over_ms, 99), unit="ms", target=20, better="less"),
        Figure(name="handler goes on p50", value=percentile(went_on_ms, 50), unit="ms", better="less"),
        Figure(name="handler goes on p99", value=percentile(went_on_ms, 99), unit="ms", better="less"),
        Figure(name="one alone goes on p50", value=percentile(alone, 50), unit="ms", better="less"),
        Figure(name="one alone goes on p99", value=percentile(alone, 99), unit="ms", better="less"),
    ]

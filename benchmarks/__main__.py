"""The command: `python -m benchmarks [NAME …]`."""

import importlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from benchmarks.answers import Answer, Figure, answer, number, save, saved, write_page
from benchmarks.processes import open_workspace

NAMES = (
    "limits",
    "workflows",
    "workflows_postgres",
    "app",
    "latency",
    "streaming",
    "push",
    "signals",
    "branches",
    "entities",
    "messages",
    "starts",
    "emits",
    "webhooks",
    "appends",
    "publish",
    "fanout",
    "groups",
    "kv",
    "projections",
    "sql_projections",
    "large_log",
    "timers",
    "memory",
    "restart",
    "matching",
    "auth",
    "waiting",
    "idle",
    "sockets",
    "dashboard",
    "dashboard_runs",
    "storage",
)
ON_REQUEST = ("profile",)


async def ask(name: str) -> list[Figure]:
    """Runs one benchmark in its own workspace."""
    module = importlib.import_module(f"benchmarks.{name}")
    with tempfile.TemporaryDirectory(prefix="ironflow-bench-") as folder, open_workspace(Path(folder)) as workspace:
        return await module.run(workspace)


def show(found: Answer, took_s: float) -> None:
    print(f"\n{found.benchmark}  ({took_s:.0f} s, {found.load:.1f} other processes running before)")
    for figure in found.figures:
        target = f"   target {number(figure.target)}: {figure.verdict}" if figure.target is not None else ""
        beside = f"   {figure.beside:.3g} × {figure.limit}" if figure.beside is not None else ""
        print(f"  {figure.name:<42} {number(figure.value):>9} {figure.unit:<3}{target}{beside}", flush=True)


def main(names: list[str]) -> int:
    # Exit by exception, so that all started processes are ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    unknown = set(names) - {*NAMES, *ON_REQUEST}
    if unknown:
        print(f"unknown benchmark {', '.join(sorted(unknown))}; known are {', '.join(NAMES + ON_REQUEST)}")
        return 2
    # The limits are always measured in the same run.
    wanted = [name for name in NAMES if not names or name in names or name == "limits"]
    wanted += [name for name in ON_REQUEST if name in names]
    limits: dict[str, Figure] = {}
    for name in wanted:
        load, begun = os.getloadavg()[0], time.perf_counter()
        figures = uvloop.run(ask(name))
        if not figures:
            continue
        found = answer(name, figures, limits, load)
        if name == "limits":
            limits = {figure.name: figure for figure in figures}
        save(found)
        show(found, time.perf_counter() - begun)
    write_page(saved(NAMES))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Question: where does the server's time go under the loads of `workflows`, `emits`, `appends` and `kv`?

Method: the same loads on a server that samples its event loop's Python stack by a timer of its CPU time.
It prints the functions by own time, the functions by total time, and the share of each
layer of the server. It is not part of a run of all benchmarks, and has no figures.
"""

import json
from collections import Counter
from collections.abc import Callable

from benchmarks import appends, emits, kv, workflows
from benchmarks.answers import Figure
from benchmarks.load import Measured
from benchmarks.processes import Process, Workspace

SECONDS = 8.0
TOP = 30

Stacks = dict[tuple[str, ...], int]


async def run(workspace: Workspace) -> list[Figure]:
    for name in ("workflows", "emits", "appends", "kv puts"):
        path = workspace.folder / f"{name}.json"
        server = workspace.start(
            ["benchmarks.sampled_server", str(path)],
            {"IRONFLOW_DB": str(workspace.folder / f"{name}.db"), "IRONFLOW_PORT": "0", "IRONFLOW_DEV": "true"},
        )
        measured = await _load(workspace, server, name)
        server.stop()
        facts = json.loads(path.read_text())
        stacks: Stacks = {tuple(stack.split(";")): count for stack, count in facts["samples"].items()}
        total = sum(stacks.values())
        print(f"\n## {name}: {measured.per_second:,.0f}/s while sampling, {total} samples")
        _show("spent in the function itself", stacks, lambda stack: {stack[-1]})
        _show("spent in it or below it", stacks, lambda stack: {it for it in stack if it.startswith("ironflow.")})
        _show("by layer", stacks, lambda stack: {_layer(stack)})
    return []


async def _load(workspace: Workspace, server: Process, name: str) -> Measured:
    address = (await server.announced())["address"]
    if name == "emits":
        return await emits.emit(server, address, 64, SECONDS)
    if name == "appends":
        return await appends.append(server, address, 64, appends.APPENDS, SECONDS)
    if name == "kv puts":
        await kv.make_bucket(address)
        return await kv.ask(server, address, 64, kv.PUTS, SECONDS)
    await workspace.worker(address)
    return await workflows.orders(address, workflows.IN_FLIGHT, SECONDS)


def _show(title: str, stacks: Stacks, places: Callable[[tuple[str, ...]], set[str]]) -> None:
    counts: Counter[str] = Counter()
    for stack, count in stacks.items():
        for place in places(stack):
            counts[place] += count
    print(f"\n{title}")
    for place, count in counts.most_common(TOP):
        print(f"  {count / sum(stacks.values()):6.1%}  {place}")


def _layer(stack: tuple[str, ...]) -> str:
    """The innermost module of Ironflow in the stack, by feature or layer."""
    for place in reversed(stack):
        module = place.partition(":")[0]
        if module == "ironflow.server.run":
            return "event loop and HTTP server"
        if module.startswith("ironflow."):
            parts = module.split(".")
            return ".".join(parts[1:3]) if parts[1] == "features" else parts[1]
    return "start"

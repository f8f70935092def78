"""Question: where does the server's time go under the load of `workflows`?

Method: the same load on a server that samples its event loop's Python stack by a timer of its own processor time.
Printed are the functions in which the time was spent themselves, those below which it was spent, and the share of each
floor of the house. Not part of a run of all benchmarks; it answers with a print, not with figures.
"""

import json
from collections import Counter
from collections.abc import Callable

from benchmarks.answers import Figure
from benchmarks.processes import Ground
from benchmarks.workflows import IN_FLIGHT, orders

SECONDS = 8.0
TOP = 30


async def run(ground: Ground) -> list[Figure]:
    path = ground.folder / "samples.json"
    server = ground.start(
        ["benchmarks.sampled_server", str(path)],
        {"IRONFLOW_DB": str(ground.folder / "bench.db"), "IRONFLOW_PORT": "0"},
    )
    address = (await server.announced())["address"]
    await ground.worker(address)
    measured = await orders(address, IN_FLIGHT, SECONDS)
    server.stop()
    facts = json.loads(path.read_text())
    stacks = {tuple(stack.split(";")): count for stack, count in facts["samples"].items()}
    print(f"\n{measured.per_second:,.0f} workflows/s while sampling; {facts['processor_s']:.1f} s of processor time")
    _show("spent in the function itself", stacks, lambda stack: {_own(stack)})
    _show("spent in it or below it", stacks, lambda stack: {each for each in stack if each.startswith("ironflow.")})
    _show("by floor", stacks, lambda stack: {_floor(stack)})
    return []


def _show(title: str, stacks: dict[tuple[str, ...], int], places: Callable[[tuple[str, ...]], set[str]]) -> None:
    total = sum(stacks.values())
    counts: Counter[str] = Counter()
    for stack, count in stacks.items():
        for place in places(stack):
            counts[place] += count
    print(f"\n{title} ({total} samples)")
    for place, count in counts.most_common(TOP):
        print(f"  {count / total:6.1%}  {place}")


def _own(stack: tuple[str, ...]) -> str:
    return stack[-1]


def _floor(stack: tuple[str, ...]) -> str:
    """The innermost module of ours that the time was spent below, by room or floor."""
    for place in reversed(stack):
        module = place.partition(":")[0]
        if module.startswith("ironflow."):
            parts = module.split(".")
            return ".".join(parts[1:3]) if parts[1] == "features" else parts[1]
    return "event loop and HTTP server"

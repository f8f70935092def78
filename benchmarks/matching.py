"""Question: what does an emit cost with many registered functions that it does not start?

Method: the emits of `emits` at 64 writers on two servers in turn: one with one function, one with a thousand, half of
them on other event names, half on patterns, each of its own prefix. The server's CPU time for an
emit is compared, the minimum of three rounds.
"""

from benchmarks.answers import Figure
from benchmarks.emits import emit
from benchmarks.processes import Workspace
from ironflow import Client
from ironflow.features.functions.contract import RegisterFunction, Trigger

SECONDS = 3.0
ROUNDS = 3
MANY = 1000


async def run(workspace: Workspace) -> list[Figure]:
    servers = {count: await workspace.server(db=str(workspace.folder / f"{count}.db")) for count in (1, MANY)}
    for count, (_, address) in servers.items():
        async with Client(address) as client:
            for number in range(count):
                await client.functions.register(other(number))
    spent_us: dict[int, list[float]] = {count: [] for count in servers}
    for _ in range(ROUNDS):
        for count, (server, address) in servers.items():
            spent_us[count].append((await emit(server, address, 64, SECONDS)).spent_us)
    one, many = min(spent_us[1]), min(spent_us[MANY])
    return [
        Figure(name="processor time with 1 function", value=one, unit="µs", better="less"),
        Figure(name="processor time with 1,000 functions", value=many, unit="µs", better="less"),
        Figure(name="cost of 999 more", value=many / one, unit="×", target=1.1, better="less"),
    ]


def other(number: int) -> RegisterFunction:
    """A function that the benchmark's event does not start."""
    event = f"other-{number}.happened" if number % 2 else f"other-{number}.*"
    return RegisterFunction(id=f"other-{number}", triggers=[Trigger(event=event)])

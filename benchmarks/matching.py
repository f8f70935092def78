"""Question: what does an emit cost when many functions are registered that it does not start?

Method: the emits of `emits` at 64 writers with one function registered, then with a thousand: half of them on other
event names, half on patterns, each of its own prefix.
"""

from benchmarks.answers import Figure
from benchmarks.emits import emit
from benchmarks.processes import Ground
from ironflow import Client
from ironflow.features.functions.contract import RegisterFunction, Trigger

SECONDS = 3.0
MANY = 1000


async def run(ground: Ground) -> list[Figure]:
    server, address = await ground.server()
    async with Client(address) as client:
        await client.functions.register(other(0))
        one = await emit(server, address, 64, SECONDS)
        for number in range(1, MANY):
            await client.functions.register(other(number))
        many = await emit(server, address, 64, SECONDS)
    return [
        Figure(name="emits with 1 function", value=one.per_second, unit="/s"),
        Figure(name="emits with 1,000 functions", value=many.per_second, unit="/s"),
        Figure(name="processor time with 1 function", value=one.spent_us, unit="µs", better="less"),
        Figure(name="processor time with 1,000 functions", value=many.spent_us, unit="µs", better="less"),
        Figure(name="cost of 999 more", value=many.spent_us / one.spent_us, unit="×", target=1.1, better="less"),
    ]


def other(number: int) -> RegisterFunction:
    """A function that the benchmark's event does not start."""
    event = f"other-{number}.happened" if number % 2 else f"other-{number}.*"
    return RegisterFunction(id=f"other-{number}", triggers=[Trigger(event=event)])

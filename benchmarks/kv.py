"""Question: how many keys a second are put durably, and got, with 1 and with 64 clients?

Method: values of 100 bytes under 10,000 keys of one bucket, over keep-alive HTTP/1.1, each client sending its next
request when it has the answer.
"""

from benchmarks.answers import Figure
from benchmarks.limits import COMMITS, ECHO_1, ECHO_64
from benchmarks.load import ClosedLoop, request_of
from benchmarks.processes import Ground
from ironflow import Client

SECONDS = 3.0
KEYS = 10_000
VALUE = b'"' + b"x" * 98 + b'"'


async def run(ground: Ground) -> list[Figure]:
    server, address = await ground.server()
    async with Client(address) as client:
        await client.kv.create_bucket("bench")
    paths = [f"/api/v1/kv/buckets/bench/keys/key-{number}" for number in range(KEYS)]
    puts = [request_of("PUT", path, VALUE) for path in paths]
    gets = [request_of("GET", path) for path in paths]
    figures: list[Figure] = []
    for writers, put_limit, get_limit in ((64, ECHO_64, ECHO_64), (1, COMMITS, ECHO_1)):
        target = 15_000 if writers == 64 else None
        for name, requests, limit, goal in (("puts", puts, put_limit, target), ("gets", gets, get_limit, None)):
            # Every key exists before the first one is got.
            load = ClosedLoop(address, writers, lambda i, these=requests: these[i % KEYS], lambda it: it.status == 200)
            measured = await load.run(SECONDS, spent_s=server.cpu_seconds)
            figures.append(
                Figure(name=f"{name} at {writers}", value=measured.per_second, unit="/s", target=goal, limit=limit)
            )
            if writers == 64:
                spent = Figure(
                    name=f"processor time of one of the {name}", value=measured.spent_us, unit="µs", better="less"
                )
                figures.append(spent)
    return figures

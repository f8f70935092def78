"""Question: how many keys a second are put durably, and read, with 1 and with 64 clients?

Method: values of 100 bytes under 2,000 keys of one bucket, over keep-alive HTTP/1.1, each client sends its next
request after the response.
"""

from benchmarks.answers import Figure
from benchmarks.limits import COMMITS, ECHO_1, ECHO_64
from benchmarks.load import ClosedLoop, Measured, request_of
from benchmarks.processes import Process, Workspace
from ironflow import Client

SECONDS = 4.5
KEYS = 2_000
VALUE = b'"' + b"x" * 98 + b'"'
PATHS = [f"/api/v1/kv/buckets/bench/keys/key-{number}" for number in range(KEYS)]
PUTS = [request_of("PUT", path, VALUE) for path in PATHS]
GETS = [request_of("GET", path) for path in PATHS]


async def run(workspace: Workspace) -> list[Figure]:
    server, address = await workspace.server()
    await make_bucket(address)
    # Puts first, so that the gets find values.
    puts = await ask(server, address, 64, PUTS, SECONDS)
    gets = await ask(server, address, 64, GETS, SECONDS)
    put = await ask(server, address, 1, PUTS, SECONDS)
    get = await ask(server, address, 1, GETS, SECONDS)
    return [
        Figure(name="puts at 64", value=puts.per_second, unit="/s", target=15_000, limit=ECHO_64),
        Figure(name="gets at 64", value=gets.per_second, unit="/s", limit=ECHO_64),
        Figure(name="puts at 1", value=put.per_second, unit="/s", limit=COMMITS),
        Figure(name="gets at 1", value=get.per_second, unit="/s", limit=ECHO_1),
        Figure(name="processor time of the server for a put", value=puts.spent_us, unit="µs", better="less"),
        Figure(name="processor time of the server for a get", value=gets.spent_us, unit="µs", better="less"),
    ]


async def make_bucket(address: str) -> None:
    async with Client(address) as client:
        await client.kv.create_bucket("bench")


async def ask(server: Process, address: str, clients: int, requests: list[bytes], seconds: float) -> Measured:
    """Cycles through `requests`."""
    load = ClosedLoop(
        address, clients, lambda number: requests[number % KEYS], lambda reply: reply.status == 200, server.cpu_seconds
    )
    return await load.best(seconds)

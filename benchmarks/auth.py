"""Question: what does authentication cost, and how long does a decision by policies take?

Method: emits, puts, gets and three-step workflows at 64 clients, and messages to 10 subscribers, on two servers in
turn, one with an administrator's API key in each request and one without authentication. A pair of short rounds, one on
each server and the first in turn, gives the ratio of the server's CPU time for one. The cost is the median of the
ratios: what slows the machine down slows both rounds of a pair, or makes one of many ratios wrong. In this process: a
decision at 100 policies, five of the action, and one that is known; the time of an unknown key against that of one that
has expired, each looked up anew.
"""

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from benchmarks.answers import Figure
from benchmarks.emits import DATA
from benchmarks.fanout import receipt_us
from benchmarks.kv import PATHS, VALUE
from benchmarks.load import ClosedLoop, request_of
from benchmarks.processes import Process, Workspace
from benchmarks.workflows import order
from ironflow import Client
from ironflow.base.call import Call, Credentials
from ironflow.base.errors import Unauthenticated
from ironflow.base.json import write_json_text
from ironflow.base.settings import Settings
from ironflow.features.api_keys.service import Authenticator
from ironflow.features.policies.in_tx import Grant, PolicyRow
from ironflow.server.building import build

SECONDS = 1.0
PAIRS = 15
WARM_UP_S = 2.0
KEY = "ifkey_" + "a1" * 20
TRIES = 300
BODY = write_json_text({"event": "bench.plain", "data": DATA}).encode()


def requests_of(kind: str, key: str) -> list[bytes]:
    match kind:
        case "emit":
            return [request_of("POST", "/api/v1/events", BODY, key)]
        case "put":
            return [request_of("PUT", path, VALUE, key) for path in PATHS]
        case "get":
            return [request_of("GET", path, api_key=key) for path in PATHS]
        case _:
            return [order(0, key)]


async def spent_us(server: Process, address: str, kind: str, key: str, seconds: float = SECONDS) -> float:
    if kind == "receipt":
        return await receipt_us(server, address, key)
    requests = requests_of(kind, key)
    load = ClosedLoop(
        address, 64, lambda number: requests[number % len(requests)], lambda reply: reply.status == 200,
        server.cpu_seconds,
    )  # fmt: skip
    return (await load.run(seconds)).spent_us


async def run(workspace: Workspace) -> list[Figure]:
    guarded = {"dev": "false", "bootstrap_admin_key": KEY, "db": str(workspace.folder / "guarded.db")}
    servers = {"": await workspace.server(), KEY: await workspace.server(**guarded)}
    for key, (_, address) in servers.items():
        async with Client(address, api_key=key or None) as client:
            await client.kv.create_bucket("bench")
        await workspace.worker(address, api_key=key)
    figures: list[Figure] = []
    for kind in ("emit", "put", "get", "workflow", "receipt"):
        for key, (server, address) in servers.items():
            await spent_us(server, address, kind, key, WARM_UP_S)
        costs: list[float] = []
        for number in range(PAIRS):
            in_turn = list(servers.items())[:: -1 if number % 2 else 1]
            spent = {key: await spent_us(server, address, kind, key) for key, (server, address) in in_turn}
            costs.append(spent[KEY] / spent[""])
        name = f"cost of authentication for one {kind}"
        figures.append(Figure(name=name, value=statistics.median(costs), unit="×", target=1.05, better="less"))
    return [*figures, *decisions(), *await look_ups()]


class Named(msgspec.Struct):
    """A request with a resource of its own."""

    name: str


def decisions() -> list[Figure]:
    """How long a decision about a new resource takes, and one that only the action decides and that is known."""
    policies = [
        PolicyRow(f"p{number}", "", f"p{number}", "allow", f"noun{number // 5}:verb", f"noun7/{number}.*", "", 0, 0)
        for number in range(100)
    ]
    call = Call("default", 0)
    grant = Grant("key", ("role",), policies)
    asked = [Named(f"37.{number}") for number in range(10_000)]
    grant.decide(call, "noun7:verb", asked[0])
    begun = time.perf_counter()
    for request in asked:
        grant.decide(call, "noun7:verb", request)
    first = (time.perf_counter() - begun) / len(asked) * 1e6
    settled = Grant("key", ("role",), [PolicyRow("all", "", "all", "allow", "*", "*", "", 0, 0)])
    settled.check(call, "noun7:verb", None)
    begun = time.perf_counter()
    for _ in range(100_000):
        settled.check(call, "noun7:verb", None)
    again = (time.perf_counter() - begun) / 100_000 * 1e6
    return [
        Figure(name="decision at 100 policies", value=first, unit="µs", target=50, better="less"),
        Figure(name="decision that is known", value=again, unit="µs", target=1, better="less"),
    ]


async def look_ups() -> list[Figure]:
    """Medians of look-ups that fail, in turn: of a key that is unknown, and of one that has expired."""
    with tempfile.TemporaryDirectory(prefix="ironflow-bench-") as folder:
        settings = Settings(db=str(Path(folder) / "keys.db"), dev=False, bootstrap_admin_key=KEY)
        server = await build(settings)
        try:
            recognize = server.parts.need(Authenticator)
            await server.db.write(lambda tx: tx.run("UPDATE api_keys SET expires_at = 1"))
            took: dict[str, list[float]] = {KEY: [], "ifkey_" + "b2" * 20: []}
            for _ in range(TRIES):
                for key, times in took.items():
                    times.append(await refused_us(recognize, key))
        finally:
            await server.stop()
    known, unknown = (statistics.median(times) for times in took.values())
    return [
        Figure(name="refusal of an unknown key", value=unknown, unit="µs", better="less"),
        Figure(name="refusal of an expired key", value=known, unit="µs", better="less"),
    ]


async def refused_us(recognize: Callable[[Credentials], Awaitable[Call]], key: str) -> float:
    begun = time.perf_counter()
    try:
        await recognize(Credentials(f"Bearer {key}"))
    except Unauthenticated:
        return (time.perf_counter() - begun) * 1e6
    raise RuntimeError("the key was accepted")

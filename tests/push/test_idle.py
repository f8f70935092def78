"""What a push function costs while nothing happens, and how long its requests may take."""

from collections import Counter
from typing import Any

import pytest

from ironflow.base.outgoing import Outgoing
from ironflow.storage.sqlite_tx import SqliteTx
from ironflow.transports.outbound import Outbound
from tests.push.endpoint import until
from tests.support.server import open_server
from tests.support.work import Work

LOOKS = 6
# The epoch of the functions, two of breakers, the old ones among them, and which functions have ready jobs.
STATEMENTS_OF_A_LOOK = 5


async def idle_minute(server: Work, monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[str], list[Any]]:
    """The statements of a minute in which nothing happens, with a round of all loops at each look at endpoints;
    and what the rounds of those looks gave."""
    statements: Counter[str] = Counter()
    execute, many = SqliteTx._execute, SqliteTx.many  # pyright: ignore[reportPrivateUsage]

    def counted(self: SqliteTx, sql: Any, params: Any = None) -> Any:
        statements[str(sql)] += 1
        return execute(self, sql, params)

    def counted_many(self: SqliteTx, sql: Any, params: Any) -> None:
        statements[str(sql)] += 1
        many(self, sql, params)

    (looks,) = [each for each in server.inside.all_loops if each.name == "endpoints"]
    others = [each.name for each in server.inside.all_loops if each is not looks]
    rounds: list[Any] = []
    await server.loops()
    with monkeypatch.context() as patch:
        patch.setattr(SqliteTx, "_execute", counted)
        patch.setattr(SqliteTx, "many", counted_many)
        for _ in range(LOOKS):
            server.move(looks.every_ms or 0)
            for name in others:
                await server.loop(name)
            rounds += await server.loop(looks.name)
            # What the loops notified joins a commit.
            await server.db.write(lambda tx: None)
    return statements, rounds


async def test_an_idle_push_function_costs_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    """A server with push functions looks now and then, at all of them together; each more costs nothing."""
    minutes: dict[int, Counter[str]] = {}
    for count in (0, 1, 100):
        async with open_server(Work, str(tmp_path / f"db{count}")) as server:
            for number in range(count):
                await server.a_function(f"f{number}", on=f"e{number}", endpoint_url=f"http://127.0.0.1:1/{number}")
            minutes[count], rounds = await idle_minute(server, monkeypatch)
        # One round at a time, and no other before the interval is over.
        assert [each.next_at for each in rounds] == [None] * LOOKS

    assert minutes[1] == minutes[100]
    assert (minutes[1] - minutes[0]).total() <= LOOKS * STATEMENTS_OF_A_LOOK


@pytest.mark.parametrize(
    ("settings", "function", "seconds"),
    [
        ({}, {}, 10.0),
        ({"push_budget_ms": 7_000}, {}, 7.0),
        ({}, {"push_budget_ms": 25_000}, 25.0),
        ({"push_budget_ms": 7_000}, {"push_budget_ms": 2_500}, 2.5),
        ({}, {"push_budget_ms": 25_000, "timeout_ms": 4_000}, 4.0),
    ],
    ids=["default", "setting", "function", "both", "never longer than the function"],
)
async def test_a_request_has_10_s_unless_the_setting_or_the_function_has_another_budget(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, settings: Any, function: Any, seconds: float
):
    budgets: list[float] = []

    async def post(self: Outbound, url: str, headers: Any, body: bytes, timeout_s: float, bytes_max: int) -> Outgoing:
        budgets.append(timeout_s)
        return Outgoing(200, {}, b'{"status":"completed","steps":[]}')

    monkeypatch.setattr(Outbound, "post", post)
    async with open_server(Work, str(tmp_path / "db"), **settings) as server:
        await server.a_function(endpoint_url="http://127.0.0.1:1/", **function)
        (run_id,) = (await server.emit()).run_ids
        await until(server, run_id, "completed")
    assert budgets == [seconds]

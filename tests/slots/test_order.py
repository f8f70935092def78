"""Idempotency, debounce, throttle and concurrency compose, in this order: a table.

Source: DESIGN.md 4, "order of controls".
"""

from typing import Any, NamedTuple

import msgspec
import pytest

from ironflow.features.debounces import contract as debounces
from ironflow.features.runs import contract as runs
from tests.support.work import Work

PERIOD_MS = 10_000
DEBOUNCE = {"debounce": {"period_ms": 5_000}}
THROTTLE = {"throttle": {"limit": 2, "period_ms": PERIOD_MS}}
LIMIT = {"concurrency": {"limit": 1}}
ACTORS = {"actor_key": "name"}
TWO = {"concurrency": {"limit": 2}}
NAMES = [({"name": name}, "") for name in ("ada", "ada", "bob", "eve")]
WHOSE = [data for data, _ in NAMES]
DELAYED = {"debounce": {"period_ms": 1_000, "key": "lane"}}


class Case(NamedTuple):
    """emits: data and idempotency key of each event, all at one moment. Then, of the runs there are: whose data they
    have, how many of them may start in the first period, and how many a worker has at a time."""

    about: str
    controls: dict[str, Any]
    emits: list[tuple[Any, str]]
    runs: list[Any]
    started: int
    at_a_time: int


def lanes(count: int, key: str = "") -> list[tuple[Any, str]]:
    """Events of so many debounce lanes."""
    return [({"lane": number}, key and f"{key}{number}") for number in range(count)]


CASES = [
    Case("nothing", {}, [(1, ""), (2, ""), (3, "")], [1, 2, 3], 3, 3),
    Case("idempotency alone", {}, [(1, "k"), (2, "k"), (3, "other")], [1, 3], 2, 2),
    Case("debounce alone", DEBOUNCE, [(1, ""), (2, ""), (3, "")], [3], 1, 1),
    # A repeated event is nothing new: it neither takes the place of a later one nor puts the run off.
    Case("idempotency before debounce", DEBOUNCE, [(1, "k"), (2, ""), (3, "k")], [2], 1, 1),
    Case("throttle alone", THROTTLE, [(1, ""), (2, ""), (3, "")], [1, 2, 3], 2, 2),
    # A repeated event takes no start.
    Case("idempotency before throttle", THROTTLE, [(1, "k"), (2, "k"), (3, "")], [1, 3], 2, 2),
    # Gathered events are one start.
    Case("debounce before throttle", DEBOUNCE | THROTTLE, [(1, ""), (2, ""), (3, "")], [3], 1, 1),
    Case("more lanes than starts", DELAYED | THROTTLE, lanes(4), [{"lane": n} for n in range(4)], 2, 2),
    Case("concurrency alone", LIMIT, [(1, ""), (2, ""), (3, "")], [1, 2, 3], 3, 1),
    # A run that is throttled does not stand in the queue for a slot.
    Case("throttle before concurrency", THROTTLE | LIMIT, [(1, ""), (2, ""), (3, "")], [1, 2, 3], 2, 1),
    Case("debounce before concurrency", DELAYED | LIMIT, lanes(3), [{"lane": n} for n in range(3)], 3, 1),
    Case("actors alone", ACTORS, NAMES, WHOSE, 4, 3),
    # One run of each actor, and no more of all than the limit.
    Case("actors and concurrency", ACTORS | TWO, NAMES, WHOSE, 4, 2),
    Case("actors and a wide limit", ACTORS | {"concurrency": {"limit": 9}}, NAMES, WHOSE, 4, 3),
    Case(
        "actors and a limit for each",
        ACTORS | {"concurrency": {"limit": 2, "key": "name"}},
        NAMES,
        WHOSE,
        4,
        3,
    ),
    Case("throttle before actors and concurrency", THROTTLE | ACTORS | TWO, NAMES, WHOSE, 2, 1),
    Case(
        "all four",
        DELAYED | THROTTLE | LIMIT,
        [*lanes(4, "k"), *lanes(4, "k"), ({"lane": 0}, "")],
        [{"lane": n} for n in range(4)],
        2,
        1,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
async def test_the_controls_compose_in_their_order(server: Work, case: Case):
    await server.a_function(**case.controls)
    await server.a_worker()
    gathers = "debounce" in case.controls
    for data, key in case.emits:
        answer = await server.emit(data=data, idempotency_key=key)
        # A gathered event has no run to name yet.
        assert not gathers or answer.run_ids == []
    if gathers:
        assert await server.runs() == []
        assert (await server.call(debounces.list_)).count == len(case.runs)
        server.move(5_000)
        await server.loop("debounces")

    created = (await server.call(runs.list_)).runs[::-1]
    assert sorted(str(_data(run)) for run in created) == sorted(str(data) for data in case.runs)
    assert sum(run.state == "pending" for run in created) == case.started
    assert len(await server.poll(available=10)) == case.at_a_time

    # Nothing is dropped: in the end each of them runs.
    for _ in range(2 * len(case.runs)):
        server.move(PERIOD_MS)
        await server.loop("timers")
        await server.a_worker()
        for run in await server.runs(status="running"):
            await server.call(runs.cancel, id=run.id)
        await server.poll(available=10)
    assert [run.state for run in await server.runs() if run.started_at is None] == []


def _data(run: runs.Run) -> Any:
    return msgspec.json.decode(run.input or b"null")

"""Which runs hold the slots of a function, and which wait: `slots.list`."""

import pytest

from ironflow.features.functions.contract import FunctionNotFound
from ironflow.features.slots import contract
from ironflow.features.slots.contract import SlotLane
from tests.support.work import Work


async def some_runs(server: Work, count: int, data: object = None) -> list[str]:
    return [(await server.emit(data=data)).run_ids[0] for _ in range(count)]


async def lanes(server: Work) -> list[SlotLane]:
    return (await server.call(contract.list_, function_id="charge")).lanes


async def test_a_limit_shows_its_holders_and_the_queue_the_longest_first(server: Work):
    await server.a_function(concurrency={"limit": 2})
    await server.a_worker()
    runs = await some_runs(server, 5)
    await server.poll(available=10)

    assert await lanes(server) == [
        SlotLane(kind="key", key="", limit=2, held=2, waiting=3, holders=sorted(runs[:2]), next=runs[2:])
    ]


async def test_each_value_of_the_key_is_a_lane_the_fullest_first(server: Work):
    await server.a_function(concurrency={"limit": 1, "key": "event.data.customer"})
    await server.a_worker()
    (bob,) = await some_runs(server, 1, {"customer": "bob"})
    ada = await some_runs(server, 2, {"customer": "ada"})

    assert await lanes(server) == [
        SlotLane(kind="key", key="ada", limit=1, held=1, waiting=1, holders=ada[:1], next=ada[1:]),
        SlotLane(kind="key", key="bob", limit=1, held=1, waiting=0, holders=[bob], next=[]),
    ]


async def test_a_shared_limit_counts_the_runs_of_other_functions(server: Work):
    shared = {"limit": 1, "scope": "bank"}
    await server.a_function(concurrency=shared)
    await server.a_function("refund", on="order.returned", concurrency=shared)
    await server.a_worker(function_ids=["charge", "refund"])
    other = (await server.emit("order.returned")).run_ids[0]
    (mine,) = await some_runs(server, 1)

    assert await lanes(server) == [
        SlotLane(kind="scope", scope="bank", key="", limit=1, held=1, waiting=1, holders=[other], next=[mine])
    ]


async def test_a_function_without_limits_has_no_lanes(server: Work):
    await server.a_function()
    await some_runs(server, 2)

    assert await lanes(server) == []


async def test_an_unknown_function_is_refused(server: Work):
    with pytest.raises(FunctionNotFound):
        await server.call(contract.list_, function_id="unknown")

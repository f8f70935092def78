"""Which functions an event starts: exact names, patterns and expressions, kept in memory and never out of date."""

import asyncio
from pathlib import Path
from typing import Any

from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.storage.port import StorageFailed
from tests.storage.disk import watched_disk
from tests.support.server import open_server
from tests.support.work import Work

FUNCTIONS: dict[str, list[dict[str, str]]] = {
    "exact": [{"event": "order.placed"}],
    "one-token": [{"event": "order.*"}],
    "rest": [{"event": "order.>"}],
    "everything": [{"event": ">"}],
    "inner": [{"event": "*.placed"}],
    "part": [{"event": "order.pla*"}],
    "twice": [{"event": "order.placed"}, {"event": "order.*"}],
    "large": [{"event": "order.placed", "expression": "data.total > 100"}],
    "gold": [{"event": "order.*", "expression": 'data.customer.tier == "gold"'}],
    "named": [{"event": ">", "expression": 'name.startsWith("order.") && metadata.source == "shop"'}],
    "never": [],
}

STARTED: list[tuple[str, Any, dict[str, Any], set[str]]] = [
    ("order.placed", {}, {}, {"exact", "one-token", "rest", "everything", "inner", "part", "twice"}),
    ("order.item.added", {}, {}, {"rest", "everything"}),
    ("order", {}, {}, {"everything"}),
    ("orders.placed", {}, {}, {"everything", "inner"}),
    ("order.plain", {}, {}, {"one-token", "rest", "everything", "part", "twice"}),
    ("order.shipped", {"customer": {"tier": "gold"}}, {}, {"one-token", "rest", "everything", "twice", "gold"}),
    (
        "order.placed",
        {"total": 101},
        {},
        {"exact", "one-token", "rest", "everything", "inner", "part", "twice", "large"},
    ),
    ("order.item.added", {}, {"source": "shop"}, {"rest", "everything", "named"}),
    # An expression over fields that are not there, or of another type, does not match; the event is recorded.
    ("order.item.added", {"total": "many"}, {}, {"rest", "everything"}),
    ("order.item.added", [1, 2], {}, {"rest", "everything"}),
    ("order.item.added", None, {}, {"rest", "everything"}),
]


async def started(server: Work, event: str, data: Any = None, **more: Any) -> list[str]:
    run_ids = (await server.emit(event, data, **more)).run_ids
    return [(await server.run(run_id)).function_id for run_id in run_ids]


async def test_an_event_starts_every_function_whose_trigger_matches_once(server: Work):
    for function_id, triggers in FUNCTIONS.items():
        await server.call(functions.register, id=function_id, triggers=triggers)

    for event, data, metadata, expected in STARTED:
        assert await started(server, event, data, metadata=metadata) == sorted(expected), (event, data)


async def test_an_event_that_matches_nothing_starts_the_function_of_its_name(server: Work):
    await server.a_function("charge", on=None)
    await server.a_function("ship", on="order.placed")

    assert await started(server, "charge") == ["charge"]
    assert await started(server, "order.placed") == ["ship"]
    assert await started(server, "unknown") == []

    await server.call(functions.update_status, id="charge", status="paused")
    assert await started(server, "charge") == []


async def test_numbers_beyond_64_bits_take_part_in_expressions(server: Work):
    await server.call(
        functions.register, id="large", triggers=[{"event": "order.placed", "expression": "data.total > 100"}]
    )

    assert await started(server, "order.placed", {"total": 2**70}) == ["large"]
    assert await started(server, "order.placed", {"total": -(2**70)}) == []


async def test_a_changed_trigger_holds_from_the_next_event_on(server: Work):
    await server.call(functions.register, id="charge", triggers=[{"event": "a"}, {"event": "b.*"}])
    assert await started(server, "a") == ["charge"]

    await server.call(functions.register, id="charge", triggers=[{"event": "c"}])

    assert [await started(server, event) for event in ("a", "b.x", "c")] == [[], [], ["charge"]]


async def test_environments_start_only_their_own_functions(server: Work):
    await server.a_function("charge", env="staging")

    assert (await server.emit()).run_ids == []
    assert len((await server.emit(env="staging")).run_ids) == 1


async def test_no_event_misses_a_function_that_is_being_registered_anew(server: Work):
    await server.a_function()

    async def register_again() -> None:
        for number in range(20):
            await server.a_function(description=f"version {number}")

    async def emit_singly() -> list[events.Emitted]:
        return [await server.emit() for _ in range(30)]

    async def emit_in_batches() -> list[events.Emitted]:
        batch = [{"event": "order.placed"}] * 3
        return [each for _ in range(20) for each in (await server.call(events.emit_batch, events=batch)).results]

    _, singles, batches = await asyncio.gather(register_again(), emit_singly(), emit_in_batches())

    assert [len(each.run_ids) for each in (*singles, *batches)] == [1] * 90


async def test_a_deleted_function_leaves_nothing_behind_that_an_event_could_start(server: Work):
    async def come_and_go(function_id: str) -> None:
        for _ in range(5):
            await server.a_function(function_id, triggers=[{"event": "order.placed"}, {"event": "order.*"}])
            await server.call(events.emit_batch, events=[{"event": "order.placed"}])
            await server.call(functions.delete, id=function_id)

    await asyncio.gather(*(come_and_go(f"f-{number}") for number in range(4)))

    assert (await server.emit()).run_ids == []


async def test_a_registration_whose_commit_failed_starts_nothing_and_hides_no_later_one(tmp_path: Path):
    """An emit shares the commit of a registration, so that it sees it; the disk is full at the COMMIT."""
    with watched_disk() as disk:
        async with open_server(Work, str(tmp_path / "ironflow.db")) as server:
            await server.a_function("first", on="order.placed")
            assert await started(server, "order.placed") == ["first"]

            disk.full = True
            lost = await asyncio.gather(
                server.a_function("phantom", on="order.placed"), server.emit(), return_exceptions=True
            )
            disk.full = False
            assert [type(each) for each in lost] == [StorageFailed, StorageFailed]

            await server.a_function("second", on="order.placed")
            assert await started(server, "order.placed") == ["first", "second"]


async def test_a_status_whose_commit_failed_is_not_what_the_next_event_meets(tmp_path: Path):
    with watched_disk() as disk:
        async with open_server(Work, str(tmp_path / "ironflow.db")) as server:
            await server.a_function("first", on="order.placed")
            disk.full = True
            pausing = server.call(functions.update_status, id="first", status="paused")
            await asyncio.gather(pausing, server.emit(), return_exceptions=True)
            disk.full = False

            assert await started(server, "order.placed") == ["first"]

"""Events of another log are added once, with their ids and times; they start nothing unless they are asked to."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ironflow.base.errors import InvalidArgument
from ironflow.base.spelling import message_to_json
from ironflow.features.events import contract as events
from ironflow.features.schemas import contract as schemas
from ironflow.features.streams import contract as streams
from tests.support.server import open_server
from tests.support.work import Work


def line(event_id: str, **more: Any) -> dict[str, Any]:
    return {
        "id": event_id,
        "name": "order.placed",
        "data": {"total": 1},
        "timestamp": "2020-02-03T04:05:06.789Z",
        **more,
    }


async def exported(server: Work) -> list[dict[str, Any]]:
    """All events, oldest first, as `event export` writes them, without what belongs to one log only."""
    page = await server.call(events.list_, limit=1000, before="0")
    lines = [msgspec.json.decode(message_to_json(each)) for each in reversed(page.events)]
    return [{key: value for key, value in each.items() if key not in ("position", "imported_at")} for each in lines]


async def test_what_was_exported_and_imported_is_the_same(server: Work, tmp_path: Path):
    await server.emit("order.placed", {"n": 12345678901234567890123}, version=3, metadata={"who": "Ada"})
    server.move(1_234)
    await server.emit("order.paid", "é\u0000", idempotency_key="k", namespace="shop")
    for name in ("made", "moved"):
        await server.call(
            streams.append, entity_id="cart-1", entity_type="cart", event_name=name, data=[None, 1.5], from_run="run_x"
        )
    before = await exported(server)
    assert len(before) == 4

    async with open_server(Work, str(tmp_path / "other.db")) as other:
        other.move(99_999_999)
        await other.emit("already.here")
        done = await other.call(events.import_, events=before)
        assert (done.imported, done.known) == (4, 0)
        assert (await exported(other))[1:] == before
        raw = (await other.call(events.get, id=before[0]["id"])).data
        assert bytes(raw) == b'{"n":12345678901234567890123}'
        assert (await other.call(streams.append, entity_id="cart-1", event_name="sold", data=1)).entity_version == 3


async def test_importing_again_adds_nothing(server: Work):
    batch = [line("evt_a"), line("evt_b"), line("evt_a")]

    first = await server.call(events.import_, events=batch)
    again = await server.call(events.import_, events=[*batch, line("evt_c")])

    assert [(each.imported, each.known) for each in (first, again)] == [(2, 1), (1, 3)]
    assert [each["id"] for each in await exported(server)] == ["evt_a", "evt_b", "evt_c"]


async def test_imported_events_start_nothing_and_end_no_wait(server: Work):
    await server.a_function()

    await server.call(events.import_, events=[line("evt_a")])

    assert await server.runs() == []
    found = await server.call(events.get, id="evt_a")
    assert found.timestamp.isoformat() == "2020-02-03T04:05:06.789000+00:00"
    assert (found.imported_at is not None, found.run_ids) == (True, [])


async def test_with_trigger_they_start_runs_now(server: Work):
    await server.a_function()

    done = await server.call(events.import_, events=[line("evt_a"), line("evt_b")], trigger=True)
    again = await server.call(events.import_, events=[line("evt_a")], trigger=True)

    assert (len(done.run_ids), again.run_ids) == (2, [])
    run = await server.run(done.run_ids[0])
    assert (run.event_id, abs(run.created_at.timestamp() * 1000 - server.now) < 1) == ("evt_a", True)
    assert (await server.call(events.get, id="evt_a")).run_ids == [run.id]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (line("evt_b", name="no name"), "is no event name"),
        (line("evt b"), "is no event id"),
        (line("", name="a"), "id"),
        ({"id": "evt_b", "name": "a"}, "timestamp"),
        (line("evt_b", version=-1), "versions start at 1"),
        (line("evt_b", metadata=[1]), "not a JSON object"),
        (line("evt_b", entity_id="c", entity_type="cart"), "entity_version"),
        (7, "not a JSON object"),
    ],
)
async def test_a_bad_event_refuses_its_batch_and_is_named(server: Work, bad: Any, message: str):
    with pytest.raises(events.ImportRefused) as refusal:
        await server.call(events.import_, events=[line("evt_a"), bad, line("evt_c")])

    assert refusal.value.details["index"] == 1
    assert message in refusal.value.message
    assert await exported(server) == []


async def test_names_that_older_logs_have_are_imported(server: Work):
    await server.call(events.import_, events=[line("evt_a", name="order..placed")])

    assert [each["name"] for each in await exported(server)] == ["order..placed"]


async def test_an_id_of_another_environment_is_refused(server: Work):
    await server.call(events.import_, events=[line("evt_a")], env="staging")
    with pytest.raises(events.ImportRefused, match="another environment"):
        await server.call(events.import_, events=[line("evt_a")])


async def test_an_event_must_be_the_next_of_its_entitys_stream(server: Work):
    def of(version: int, event_id: str, kind: str = "cart") -> dict[str, Any]:
        return line(event_id, entity_id="cart-1", entity_type=kind, entity_version=version)

    await server.call(events.import_, events=[of(4, "e4"), of(5, "e5")])

    for late in (of(5, "x"), of(7, "x"), of(6, "x", "basket")):
        with pytest.raises(events.ImportRefused, match="at version 5"):
            await server.call(events.import_, events=[late])
    assert (await server.call(events.import_, events=[of(5, "e5"), of(6, "e6")])).imported == 1


async def test_history_is_held_to_no_schema(database_url: str):
    async with open_server(Work, database_url, event_schema_enforcement="reject") as strict:
        await strict.call(schemas.register, event_name="order.placed", schema_json={"not": {}})
        assert (await strict.call(events.import_, events=[line("evt_a")], trigger=True)).imported == 1


async def test_an_imported_key_is_history_and_no_answer_to_a_repeat(server: Work):
    await server.call(events.import_, events=[line("evt_a", idempotency_key="k")])
    assert (await server.emit(idempotency_key="k")).event_id != "evt_a"


async def test_too_many_events_are_refused(server: Work):
    with pytest.raises(InvalidArgument, match="limit"):
        await server.call(events.import_, events=[line(f"e{each}") for each in range(1001)])

"""An appended event does in its own commit whatever an emitted one does: it starts, wakes and cancels runs."""

from typing import Any

from ironflow.base.json import read_json
from ironflow.features.debounces import contract as debounces
from ironflow.features.events import contract as events
from ironflow.features.streams import contract as streams
from tests.support.work import Work
from tests.support.yields import waits_for


async def append(server: Work, name: str = "order.placed", entity: str = "order-7", **more: Any) -> streams.Appended:
    fields = {"entity_type": "order", "data": {"n": 1}, **more}
    return await server.call(streams.append, entity_id=entity, event_name=name, **fields)


async def test_it_starts_every_function_whose_trigger_matches(server: Work):
    await server.a_function("exact", on="order.placed")
    await server.a_function("wild", on="order.*")
    await server.a_function("large", triggers=[{"event": "order.placed", "expression": "data.n > 10"}])
    await server.a_function("other", on="order.closed")

    answer = await append(server)

    started = [await server.run(run_id) for run_id in answer.run_ids]
    assert sorted(run.function_id for run in started) == ["exact", "wild"]
    assert {run.event_id for run in started} == {answer.event_id}


async def test_the_worker_receives_the_entity(server: Work):
    await server.a_function()
    await server.a_worker()
    await append(server, data={"n": 7}, version=2)

    job = await server.claim()

    assert bytes(job.event.data) == b'{"n":7}'
    assert (job.event.name, job.event.version) == ("order.placed", 2)
    assert (job.event.entity_id, job.event.entity_type, job.event.entity_version) == ("order-7", "order", 1)


async def test_an_emitted_event_has_no_entity(server: Work):
    await server.a_run()
    job = await server.claim()
    assert (job.event.entity_id, job.event.entity_type, job.event.entity_version) == (None, None, None)


async def test_it_ends_a_wait_that_is_there(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await server.report(job, "yielded", yielded=waits_for(job, "order.approved"))

    answer = await append(server, "order.approved", data={"by": "me"})

    again = await server.claim()
    assert again.run_id == run.id
    (step,) = again.completed_steps
    event = read_json(step.output)
    assert (event["id"], event["data"]) == (answer.event_id, {"by": "me"})
    assert (event["entityId"], event["entityType"], event["entityVersion"]) == ("order-7", "order", 1)


async def test_it_ends_a_wait_that_is_registered_after_it(server: Work):
    run = await server.a_run()
    job = await server.claim()
    await append(server, "order.approved")

    await server.report(job, "yielded", yielded=waits_for(job, "order.approved"))

    assert (await server.claim()).run_id == run.id


async def test_it_cancels_runs_with_such_a_spec(server: Work):
    await server.a_function(cancel_on=[{"event": "order.cancelled", "match": "id"}])
    one, other = [(await server.emit(data={"id": each})).run_ids[0] for each in (1, 2)]

    await append(server, "order.cancelled", data={"id": 1})

    assert [(await server.run(run_id)).status.value for run_id in (one, other)] == ["cancelled", "pending"]


async def test_it_is_gathered_where_a_function_debounces(server: Work):
    await server.a_function(debounce={"period_ms": 1000})
    answers = [await append(server, data={"n": number}) for number in range(3)]
    assert [each.run_ids for each in answers] == [[], [], []]
    assert (await server.call(debounces.list_)).count == 1

    server.move(1000)
    await server.loop("debounces")

    (run,) = await server.runs()
    assert run.event_id == answers[-1].event_id


async def test_it_does_not_start_a_function_whose_id_is_its_name(server: Work):
    await server.a_function("order.placed", on=None)
    assert (await append(server)).run_ids == []
    assert len((await server.emit("order.placed")).run_ids) == 1


async def test_it_is_at_its_place_in_the_log_with_all_other_events(server: Work):
    await server.emit("one")
    answer = await append(server, "two")
    await server.emit("three")

    listed = (await server.call(events.list_)).events
    assert [(each.name, each.position, each.entity_id, each.entity_version) for each in reversed(listed)] == [
        ("one", 1, None, None),
        ("two", 2, "order-7", 1),
        ("three", 3, None, None),
    ]
    assert (await server.call(events.get, id=answer.event_id)).entity_type == "order"

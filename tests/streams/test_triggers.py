"""An appended event does in its own commit whatever an emitted one does: it starts, wakes and cancels runs."""

from typing import Any

from ironflow.base.json import read_json
from ironflow.features.debounces import contract as debounces
from ironflow.features.events import contract as events
from ironflow.features.streams import contract as streams
from tests.support.work import Work
from tests.support.yields import waits_for


async def append(house: Work, name: str = "order.placed", entity: str = "order-7", **more: Any) -> streams.Appended:
    fields = {"entity_type": "order", "data": {"n": 1}, **more}
    return await house.call(streams.append, entity_id=entity, event_name=name, **fields)


async def test_it_starts_every_function_whose_trigger_matches(house: Work):
    await house.a_function("exact", on="order.placed")
    await house.a_function("wild", on="order.*")
    await house.a_function("large", triggers=[{"event": "order.placed", "expression": "data.n > 10"}])
    await house.a_function("other", on="order.closed")

    answer = await append(house)

    started = [await house.run(run_id) for run_id in answer.run_ids]
    assert sorted(run.function_id for run in started) == ["exact", "wild"]
    assert {run.event_id for run in started} == {answer.event_id}


async def test_the_worker_is_told_which_entity_it_was(house: Work):
    await house.a_function()
    await house.a_worker()
    await append(house, data={"n": 7}, version=2)

    job = await house.claim()

    assert bytes(job.event.data) == b'{"n":7}'
    assert (job.event.name, job.event.version) == ("order.placed", 2)
    assert (job.event.entity_id, job.event.entity_type, job.event.entity_version) == ("order-7", "order", 1)


async def test_an_emitted_event_says_nothing_of_entities(house: Work):
    await house.a_run()
    job = await house.claim()
    assert (job.event.entity_id, job.event.entity_type, job.event.entity_version) == (None, None, None)


async def test_it_ends_a_wait_that_is_there(house: Work):
    run = await house.a_run()
    job = await house.claim()
    await house.report(job, "yielded", yielded=waits_for(job, "order.approved"))

    answer = await append(house, "order.approved", data={"by": "me"})

    again = await house.claim()
    assert again.run_id == run.id
    (step,) = again.completed_steps
    event = read_json(step.output)
    assert (event["id"], event["data"]) == (answer.event_id, {"by": "me"})
    assert (event["entityId"], event["entityType"], event["entityVersion"]) == ("order-7", "order", 1)


async def test_it_ends_a_wait_that_is_registered_after_it(house: Work):
    run = await house.a_run()
    job = await house.claim()
    await append(house, "order.approved")

    await house.report(job, "yielded", yielded=waits_for(job, "order.approved"))

    assert (await house.claim()).run_id == run.id


async def test_it_cancels_runs_that_said_so(house: Work):
    await house.a_function(cancel_on=[{"event": "order.cancelled", "match": "id"}])
    one, other = [(await house.emit(data={"id": each})).run_ids[0] for each in (1, 2)]

    await append(house, "order.cancelled", data={"id": 1})

    assert [(await house.run(run_id)).status.value for run_id in (one, other)] == ["cancelled", "pending"]


async def test_it_is_gathered_where_a_function_debounces(house: Work):
    await house.a_function(debounce={"period_ms": 1000})
    answers = [await append(house, data={"n": number}) for number in range(3)]
    assert [each.run_ids for each in answers] == [[], [], []]
    assert (await house.call(debounces.list_)).count == 1

    house.move(1000)
    await house.loop("debounces")

    (run,) = await house.runs()
    assert run.event_id == answers[-1].event_id


async def test_it_does_not_start_a_function_whose_id_is_its_name(house: Work):
    await house.a_function("order.placed", on=None)
    assert (await append(house)).run_ids == []
    assert len((await house.emit("order.placed")).run_ids) == 1


async def test_it_is_at_its_place_in_the_log_with_all_other_events(house: Work):
    await house.emit("one")
    answer = await append(house, "two")
    await house.emit("three")

    listed = (await house.call(events.list_)).events
    assert [(each.name, each.position, each.entity_id, each.entity_version) for each in reversed(listed)] == [
        ("one", 1, None, None),
        ("two", 2, "order-7", 1),
        ("three", 3, None, None),
    ]
    assert (await house.call(events.get, id=answer.event_id)).entity_type == "order"

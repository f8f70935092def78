"""A redacted payload is nowhere any more, the run's past still folds to its row, and who did it is kept."""

import hashlib
import logging
from typing import Any

import msgspec
import pytest

from ironflow.features.events import contract as events
from ironflow.features.redaction import contract, rules
from ironflow.features.runs import contract as runs
from ironflow.features.time_travel import contract as time_travel
from ironflow.storage.port import Tx
from tests.support.facts import check_fold
from tests.support.work import Work, step, text_of

SECRET = "4111-1111"


def value(payload: Any) -> Any:
    return msgspec.json.decode(payload)


async def everything(house: Work) -> str:
    """All that the database keeps of events, runs, steps and facts, as one text."""

    def look(tx: Tx) -> str:
        tables = ("events", "runs", "steps", "facts", "redactions", "waits", "jobs")
        return "\n".join(str(row) for table in tables for row in tx.rows(f"SELECT * FROM {table}"))

    return await house.db.read(look)


async def an_ended_run(house: Work, outcome: str = "completed", **config: Any) -> str:
    """A recorded run with the secret in everything it was given and made."""
    config.setdefault("recording", True)
    config.setdefault("retry", {"max_attempts": 1})
    await house.a_function(**config)
    await house.a_worker()
    (run_id,) = (await house.emit(data={"card": SECRET}, metadata={"card": SECRET})).run_ids
    job = await house.claim()
    await house.report(job, "progress", step(job, "look up", {"card": SECRET}))
    more: dict[str, Any] = {"output": {"card": SECRET}}
    if outcome == "failed":
        more = {"error": {"message": f"card {SECRET} refused", "code": "REFUSED", "retryable": False, "stack": SECRET}}
    failed = {"error": {"message": SECRET, "code": "NO"}}
    await house.report(job, outcome, step(job, "charge", **failed), **more)
    return run_id


async def test_a_redacted_event_is_a_marker_with_digest_and_time(house: Work):
    event_id = (await house.emit(data={"card": SECRET}, metadata={"card": SECRET})).event_id

    done = await house.call(contract.redact_event, id=event_id, reason="GDPR 17")

    found = await house.call(events.get, id=event_id)
    digest = hashlib.sha256(f'{{"card":"{SECRET}"}}'.encode()).hexdigest()
    assert value(found.data) == {"$redacted": True, "sha256": digest, "redactedAt": text_of(house.now)}
    assert value(found.metadata)["$redacted"] is True
    assert (done.payloads, found.name, found.position) == (1, "order.placed", 1)
    assert SECRET not in await everything(house)


@pytest.mark.parametrize("outcome", ["completed", "failed"])
async def test_nothing_is_left_of_a_redacted_run_and_its_past_still_folds_to_its_row(house: Work, outcome: str):
    run_id = await an_ended_run(house, outcome)
    assert SECRET in await everything(house)

    done = await house.call(contract.redact_run, id=run_id)

    assert SECRET not in await everything(house)
    assert await check_fold(house)
    assert done.payloads == 4
    run = await house.run(run_id)
    assert run.status == outcome
    assert value(run.input)["$redacted"] is True
    if outcome == "failed":
        assert run.error is not None
        assert (run.error.message, run.error.code) == (rules.REDACTED, "REFUSED")
    state = await house.call(time_travel.state_at, run_id=run_id)
    outputs = {each.name: value(each.output) for each in state.steps}
    assert (outputs["look up"]["$redacted"], outputs["charge"]) == (True, None)


async def test_keys_that_were_taken_from_the_event_go_too(house: Work):
    await an_ended_run(house, concurrency={"limit": 2, "key": "card"}, actor_key="card")
    (run,) = await house.runs()

    await house.call(contract.redact_run, id=run.id)

    assert SECRET not in await everything(house)
    assert await check_fold(house)


async def test_a_redacted_step_leaves_the_others_as_they_are(house: Work):
    run_id = await an_ended_run(house)
    steps = {each.name: each for each in await house.steps(run_id)}

    done = await house.call(contract.redact_step, id=steps["look up"].id)

    after = {each.name: each for each in await house.steps(run_id)}
    assert (done.id, done.payloads) == (steps["look up"].id, 1)
    assert value(after["look up"].output)["$redacted"] is True
    assert after["charge"] == steps["charge"]
    assert await check_fold(house)
    assert value((await house.run(run_id)).output) == {"card": SECRET}


async def test_a_step_that_waited_for_the_event_forgets_it_with_the_event(house: Work):
    await house.a_function(recording=True)
    await house.a_worker()
    (run_id,) = (await house.emit()).run_ids
    job = await house.claim()
    waited = {"type": "wait_for_event", "step_id": f"{run_id}:approval:0", "step_name": "approval"}
    await house.report(job, "yielded", yielded={**waited, "event_filter": {"event": "approved", "timeout": "1h"}})
    event_id = (await house.emit("approved", {"card": SECRET})).event_id

    with pytest.raises(contract.RunNotEnded, match=run_id):
        await house.call(contract.redact_event, id=event_id)
    await house.report(await house.claim(), "completed", output=1)
    done = await house.call(contract.redact_event, id=event_id)

    assert done.payloads == 2
    assert SECRET not in await everything(house)
    assert await check_fold(house)


async def test_what_a_run_still_needs_is_not_redacted(house: Work):
    run = await house.a_run(status="running")

    for operation, target in ((contract.redact_run, run.id), (contract.redact_event, run.event_id)):
        with pytest.raises(contract.RunNotEnded, match=run.id):
            await house.call(operation, id=target)
    with pytest.raises(contract.RunNotEnded):
        await house.call(contract.redact_step, id=f"{run.id}:look up:0")


async def test_redacting_again_changes_nothing_and_is_not_noted_again(house: Work):
    run_id = await an_ended_run(house)
    await house.call(contract.redact_run, id=run_id, reason="asked to")
    before = await everything(house)
    house.move(5_000)

    again = await house.call(contract.redact_run, id=run_id)

    assert again.payloads == 0
    assert await everything(house) == before


async def test_who_redacted_what_and_why_is_listed_newest_first(house: Work, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        ids = [(await house.emit(data=SECRET)).event_id for _ in range(3)]
        for event_id in ids:
            house.move(1_000)
            await house.call(contract.redact_event, id=event_id, reason="GDPR 17")

    page = await house.call(contract.list_, limit=2)
    rest = await house.call(contract.list_, limit=2, cursor=page.next_cursor)
    one = await house.call(contract.list_, target_id=ids[1])

    assert [each.target_id for each in (*page.redactions, *rest.redactions)] == ids[::-1]
    assert rest.next_cursor is None
    (entry,) = one.redactions
    assert (entry.target, entry.actor, entry.reason, entry.payloads) == ("event", "api", "GDPR 17", 1)
    assert (await house.call(contract.list_, env="other")).redactions == []
    assert SECRET not in caplog.text


async def test_what_is_not_there_is_not_found(house: Work):
    await an_ended_run(house)
    with pytest.raises(events.EventNotFound):
        await house.call(contract.redact_event, id="evt_none")
    with pytest.raises(runs.RunNotFound):
        await house.call(contract.redact_run, id="run_none")
    (run,) = await house.runs()
    with pytest.raises(runs.RunNotFound):
        await house.call(contract.redact_run, id=run.id, env="other")
    with pytest.raises(events.EventNotFound):
        await house.call(contract.redact_event, id=run.event_id, env="other")


async def test_ids_with_wildcards_redact_only_themselves(house: Work):
    def line(event_id: str) -> dict[str, Any]:
        return {"id": event_id, "name": "a", "data": SECRET, "timestamp": "2020-01-01T00:00:00Z"}

    await house.call(events.import_, events=[line("e%"), line("e_"), line("ex")])

    assert (await house.call(contract.redact_event, id="e%")).payloads == 1
    assert value((await house.call(events.get, id="ex")).data) == SECRET

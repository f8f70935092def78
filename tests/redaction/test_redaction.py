"""A redacted payload is nowhere any more, the run's past still folds to its row, and who did it is kept."""

import hashlib
import logging
from typing import Any

import msgspec
import pytest

from ironflow.base.errors import PermissionDenied
from ironflow.features.events import contract as events
from ironflow.features.redaction import contract, rules
from ironflow.features.runs import contract as runs
from ironflow.features.time_travel import contract as time_travel
from ironflow.storage.port import Tx
from tests.support.access import refused
from tests.support.facts import check_fold
from tests.support.work import Work, step, text_of

SECRET = "4111-1111"


def value(payload: Any) -> Any:
    return msgspec.json.decode(payload)


async def everything(server: Work) -> str:
    """All that the database keeps of events, runs, steps and facts, as one text."""

    def look(tx: Tx) -> str:
        tables = ("events", "runs", "steps", "facts", "redactions", "waits", "jobs")
        return "\n".join(str(row) for table in tables for row in tx.rows(f"SELECT * FROM {table}"))

    return await server.db.read(look)


async def an_ended_run(server: Work, outcome: str = "completed", **config: Any) -> str:
    """A recorded run with the secret in everything it was given and made."""
    config.setdefault("recording", True)
    config.setdefault("retry", {"max_attempts": 1})
    await server.a_function(**config)
    await server.a_worker()
    (run_id,) = (await server.emit(data={"card": SECRET}, metadata={"card": SECRET})).run_ids
    job = await server.claim()
    await server.report(job, "progress", step(job, "look up", {"card": SECRET}))
    more: dict[str, Any] = {"output": {"card": SECRET}}
    if outcome == "failed":
        more = {"error": {"message": f"card {SECRET} refused", "code": "REFUSED", "retryable": False, "stack": SECRET}}
    failed = {"error": {"message": SECRET, "code": "NO"}}
    await server.report(job, outcome, step(job, "charge", **failed), **more)
    return run_id


async def test_a_redacted_event_is_a_marker_with_digest_and_time(server: Work):
    event_id = (await server.emit(data={"card": SECRET}, metadata={"card": SECRET})).event_id

    done = await server.call(contract.redact_event, id=event_id, reason="GDPR 17")

    found = await server.call(events.get, id=event_id)
    digest = hashlib.sha256(f'{{"card":"{SECRET}"}}'.encode()).hexdigest()
    assert value(found.data) == {"$redacted": True, "sha256": digest, "redactedAt": text_of(server.now)}
    assert value(found.metadata)["$redacted"] is True
    assert (done.payloads, found.name, found.position) == (1, "order.placed", 1)
    assert SECRET not in await everything(server)


@pytest.mark.parametrize("outcome", ["completed", "failed"])
async def test_nothing_is_left_of_a_redacted_run_and_its_past_still_folds_to_its_row(server: Work, outcome: str):
    run_id = await an_ended_run(server, outcome)
    assert SECRET in await everything(server)

    done = await server.call(contract.redact_run, id=run_id)

    assert SECRET not in await everything(server)
    assert await check_fold(server)
    assert done.payloads == 4
    run = await server.run(run_id)
    assert run.status == outcome
    assert value(run.input)["$redacted"] is True
    if outcome == "failed":
        assert run.error is not None
        assert (run.error.message, run.error.code) == (rules.REDACTED, "REFUSED")
    state = await server.call(time_travel.state_at, run_id=run_id)
    outputs = {each.name: value(each.output) for each in state.steps}
    assert (outputs["look up"]["$redacted"], outputs["charge"]) == (True, None)


async def test_keys_that_were_taken_from_the_event_go_too(server: Work):
    await an_ended_run(server, concurrency={"limit": 2, "key": "card"}, actor_key="card")
    (run,) = await server.runs()

    await server.call(contract.redact_run, id=run.id)

    assert SECRET not in await everything(server)
    assert await check_fold(server)


async def test_a_redacted_step_leaves_the_others_as_they_are(server: Work):
    run_id = await an_ended_run(server)
    steps = {each.name: each for each in await server.steps(run_id)}

    done = await server.call(contract.redact_step, id=steps["look up"].id)

    after = {each.name: each for each in await server.steps(run_id)}
    assert (done.id, done.payloads) == (steps["look up"].id, 1)
    assert value(after["look up"].output)["$redacted"] is True
    assert after["charge"] == steps["charge"]
    assert await check_fold(server)
    assert value((await server.run(run_id)).output) == {"card": SECRET}


async def test_a_step_that_waited_for_the_event_forgets_it_with_the_event(server: Work):
    await server.a_function(recording=True)
    await server.a_worker()
    (run_id,) = (await server.emit()).run_ids
    job = await server.claim()
    waited = {"type": "wait_for_event", "step_id": f"{run_id}:approval:0", "step_name": "approval"}
    await server.report(job, "yielded", yielded={**waited, "event_filter": {"event": "approved", "timeout": "1h"}})
    event_id = (await server.emit("approved", {"card": SECRET})).event_id

    with pytest.raises(contract.RunNotEnded, match=run_id):
        await server.call(contract.redact_event, id=event_id)
    await server.report(await server.claim(), "completed", output=1)
    # It is a step's payload too, so redacting events is not permission enough.
    with refused(server, contract.redact_step.scope), pytest.raises(PermissionDenied):
        await server.call(contract.redact_event, id=event_id)
    done = await server.call(contract.redact_event, id=event_id)

    assert done.payloads == 2
    assert SECRET not in await everything(server)
    assert await check_fold(server)


async def test_what_a_run_still_needs_is_not_redacted(server: Work):
    run = await server.a_run(status="running")

    for operation, target in ((contract.redact_run, run.id), (contract.redact_event, run.event_id)):
        with pytest.raises(contract.RunNotEnded, match=run.id):
            await server.call(operation, id=target)
    with pytest.raises(contract.RunNotEnded):
        await server.call(contract.redact_step, id=f"{run.id}:look up:0")


async def test_redacting_again_changes_nothing_and_is_not_noted_again(server: Work):
    run_id = await an_ended_run(server)
    await server.call(contract.redact_run, id=run_id, reason="asked to")
    before = await everything(server)
    server.move(5_000)

    again = await server.call(contract.redact_run, id=run_id)

    assert again.payloads == 0
    assert await everything(server) == before


async def test_redactions_are_listed_with_actor_and_reason_newest_first(server: Work, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        ids = [(await server.emit(data=SECRET)).event_id for _ in range(3)]
        for event_id in ids:
            server.move(1_000)
            await server.call(contract.redact_event, id=event_id, reason="GDPR 17")

    page = await server.call(contract.list_, limit=2)
    rest = await server.call(contract.list_, limit=2, cursor=page.next_cursor)
    one = await server.call(contract.list_, target_id=ids[1])

    assert [each.target_id for each in (*page.redactions, *rest.redactions)] == ids[::-1]
    assert rest.next_cursor is None
    (entry,) = one.redactions
    assert (entry.target, entry.actor, entry.reason, entry.payloads) == ("event", "api", "GDPR 17", 1)
    assert (await server.call(contract.list_, env="other")).redactions == []
    assert SECRET not in caplog.text


async def test_what_is_not_there_is_not_found(server: Work):
    await an_ended_run(server)
    with pytest.raises(events.EventNotFound):
        await server.call(contract.redact_event, id="evt_none")
    with pytest.raises(runs.RunNotFound):
        await server.call(contract.redact_run, id="run_none")
    (run,) = await server.runs()
    with pytest.raises(runs.RunNotFound):
        await server.call(contract.redact_run, id=run.id, env="other")
    with pytest.raises(events.EventNotFound):
        await server.call(contract.redact_event, id=run.event_id, env="other")


async def test_ids_with_wildcards_redact_only_themselves(server: Work):
    def line(event_id: str) -> dict[str, Any]:
        return {"id": event_id, "name": "a", "data": SECRET, "timestamp": "2020-01-01T00:00:00Z"}

    await server.call(events.import_, events=[line("e%"), line("e_"), line("ex")])

    assert (await server.call(contract.redact_event, id="e%")).payloads == 1
    assert value((await server.call(events.get, id="ex")).data) == SECRET

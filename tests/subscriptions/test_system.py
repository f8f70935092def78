"""The system's own events: what is told of runs, steps, functions and workers, live and again."""

from contextlib import aclosing

import pytest

from ironflow.base.call import Call
from ironflow.base.json import read_json
from ironflow.base.notice import Notice
from ironflow.features.config import contract as config
from ironflow.features.jobs.loops import EvictWorkers
from ironflow.features.projections import contract as projections
from ironflow.features.subscriptions import contract as subscriptions
from ironflow.features.subscriptions.contract import InvalidSubscription, SequenceNotKept
from tests.subscriptions.following import following
from tests.support.house import open_house
from tests.support.work import Work, step


async def test_a_run_is_told_of_from_its_creation_to_its_end(house: Work):
    await house.a_function()
    await house.a_worker()
    async with following(house, "system.run.>") as system:
        (run_id,) = (await house.emit(data={"total": 100})).run_ids
        job = await house.claim()
        await house.report(job, "completed", step(job, "pay", {"paid": True}), output={"ok": 1})

        assert await system.topics(4) == [
            f"system.run.{run_id}.created",
            f"system.run.{run_id}.updated",
            f"system.run.{run_id}.step.{run_id}:pay:0.completed",
            f"system.run.{run_id}.completed",
        ]


async def test_what_is_told_of_a_run_has_its_status_output_and_error(house: Work):
    run = await house.a_run()
    async with following(house, f"system.run.{run.id}.*") as system:
        job = await house.claim()
        await house.report(job, "failed", error={"message": "no", "retryable": False})
        running, failed = await system.data(2)

    assert (running["status"], "output" in running, "error" in running) == ("running", False, False)
    assert (failed["status"], failed["error"]["message"], failed["runId"]) == ("failed", "no", run.id)


async def test_functions_and_workers_are_told_of(house: Work):
    async with following(house, "system.function.>") as functions, following(house, "system.worker.>") as workers:
        await house.a_function("fraud/check.v2")
        await house.a_function("fraud/check.v2")
        await house.a_function("fraud/check.v2", on="other.event")
        await house.a_worker("w.1")
        house.move(10 * 60_000)
        await house.loop(EvictWorkers.name)

        assert await functions.topics(2) == [
            "system.function.fraud/check.v2.registered",
            "system.function.fraud/check.v2.updated",
        ]
        assert await workers.topics(2) == ["system.worker.w.1.registered", "system.worker.w.1.evicted"]


async def test_an_id_with_dots_is_one_word_of_a_pattern(house: Work):
    async with (
        following(house, "system.function.*.registered") as star,
        following(house, "system.function.fraud.check.>") as named,
        following(house, "system.function.fraud.*") as other,
    ):
        await house.a_function("fraud.check")

        assert await star.topics() == await named.topics() == ["system.function.fraud.check.registered"]
        assert await other.rest() == []


async def test_removed_runs_are_told_of(database_url: str):
    async with open_house(Work, database_url, run_retention_days=1) as house:
        run = await house.a_run()
        job = await house.claim()
        await house.report(job, "completed")
        async with following(house, "system.run.*.deleted") as system:
            house.move(2 * 24 * 3600 * 1000)
            await house.loop("runs-purge")
            assert await system.topics() == [f"system.run.{run.id}.deleted"]


async def test_environments_hear_only_of_themselves(house: Work):
    async with following(house, "system.>") as ours, following(house, "system.>", env="staging") as theirs:
        await house.a_function("here")
        await house.a_function("there", env="staging")

        assert await ours.topics() == ["system.function.here.registered"]
        assert await theirs.topics() == ["system.function.there.registered"]
        assert await ours.rest() == await theirs.rest() == []


async def test_what_a_refused_transaction_told_is_not_heard(house: Work):
    def refused(tx: object) -> None:
        tx.tell(Notice("default", ("function", "x", "registered"), "{}", 0))  # type: ignore[attr-defined]
        raise InvalidSubscription

    async with following(house, "system.>") as system:
        with pytest.raises(InvalidSubscription):
            await house.db.write(refused)
        await house.a_function("kept")
        assert await system.topics() == ["system.function.kept.registered"]
        assert await system.rest() == []


async def test_recent_events_are_replayed_and_live_ones_follow(house: Work):
    for name in "abc":
        await house.a_function(name)
    async with following(house, "system.function.>", replay=2) as system:
        await house.a_function("d")
        assert [data["id"] for data in await system.data(3)] == ["b", "c", "d"]


async def test_a_subscription_goes_on_after_the_last_sequence_it_saw(house: Work):
    async with following(house, "system.function.>") as system:
        await house.a_function("a")
        (seen,) = await system.next()
    await house.a_function("b")
    async with following(house, "system.function.>", start_after_sequence=seen.sequence) as system:
        await house.a_function("c")
        assert [data["id"] for data in await system.data(2)] == ["b", "c"]


async def test_what_is_not_kept_any_more_is_refused_and_not_skipped(database_url: str):
    async with open_house(Work, database_url, system_events_kept=5) as house:
        async with following(house, "system.function.>") as system:
            await house.a_function("first")
            (seen,) = await system.next()
        for number in range(10):
            await house.a_function(f"f{number}")
        with pytest.raises(SequenceNotKept):
            async with following(house, "system.>", start_after_sequence=seen.sequence):
                pass
        with pytest.raises(SequenceNotKept):
            async with following(house, "system.>", start_after_sequence=seen.sequence + 10**9):
                pass
        # From the beginning of what there is.
        async with following(house, "system.function.>", start_after_sequence=0) as system:
            assert [data["id"] for data in await system.data(5)] == ["f5", "f6", "f7", "f8", "f9"]


async def test_a_sequence_of_an_earlier_start_is_refused(database_url: str):
    async with open_house(Work, database_url) as house:
        async with following(house, "system.function.>") as system:
            await house.a_function("a")
            (seen,) = await system.next()
        clock = house.clock
    clock.move(1_000)
    async with open_house(Work, database_url, clock=clock) as house:
        with pytest.raises(SequenceNotKept):
            async with following(house, "system.>", start_after_sequence=seen.sequence):
                pass


async def test_all_secrets_are_meant_by_the_pattern_that_clients_have_for_them(house: Work):
    async with following(house, "system.secret.*") as system:
        await house.db.write(lambda tx: tx.tell(Notice("default", ("secret", "API.KEY", "updated"), "{}", house.now)))
        assert await system.topics() == ["system.secret.API.KEY.updated"]


async def test_config_documents_are_told_of(house: Work):
    async with following(house, "system.config.>") as system:
        await house.call(config.set_config, name="app.flags", data={"dark": True})
        await house.call(config.patch_config, name="app.flags", data={"fast": 1})
        await house.call(config.delete_config, name="app.flags")
        await house.call(config.delete_config, name="app.flags")
        entries = await system.next(3)
        assert await system.rest() == []

    assert [entry.topic for entry in entries] == [
        "system.config.app.flags.updated",
        "system.config.app.flags.updated",
        "system.config.app.flags.deleted",
    ]
    told = [read_json(entry.data) for entry in entries]
    assert told[1]["data"] == {"dark": True, "fast": 1}
    assert [each["revision"] for each in told] == sorted({each["revision"] for each in told})


async def test_new_states_of_projections_are_told_of(house: Work):
    await house.call(projections.register, name="totals", events=["order.*"], mode="managed")
    emitted = await house.emit("order.placed", {"total": 5})
    async with following(house, "system.projection.totals.>") as system:
        await house.call(
            projections.save, name="totals", state={"sum": 5}, last_event_id=emitted.event_id, last_event_seq=1
        )
        (entry,) = await system.next()

    assert entry.topic == "system.projection.totals.__global__.updated"
    assert read_json(entry.data) == {
        "state": {"sum": 5},
        "last_event_id": emitted.event_id,
        "last_event_name": "order.placed",
    }


async def test_a_browser_whose_place_is_not_kept_goes_on_with_what_is(house: Work):
    for name in "ab":
        await house.a_function(name)
    async with aclosing(house.stream(subscriptions.watch, pattern="system.function.>", last_event_id=5)) as events:
        assert [read_json((await anext(events)).data)["id"] for _ in range(2)] == ["a", "b"]


async def test_a_stream_is_told_what_is_wrong_at_its_first_answer(house: Work):
    request = subscriptions.Watch(pattern="system.function.>", after=5)
    events = house.dispatch.stream(subscriptions.watch, Call(environment="default", now=house.now), request)

    with pytest.raises(SequenceNotKept):
        await anext(events)

"""The system's own events: what is published of runs, steps, functions and workers, live and again."""

from contextlib import aclosing
from typing import Any

import pytest

from ironflow.base.call import Call
from ironflow.base.json import read_json
from ironflow.base.notice import Notice
from ironflow.features.config import contract as config
from ironflow.features.jobs import contract as jobs
from ironflow.features.jobs.loops import EvictWorkers
from ironflow.features.projections import contract as projections
from ironflow.features.streams import contract as streams
from ironflow.features.subscriptions import contract as subscriptions
from ironflow.features.subscriptions.contract import InvalidSubscription, SequenceNotKept
from tests.streaming_workers.streaming import a_stream
from tests.subscriptions.following import following
from tests.support.server import open_server
from tests.support.work import Work, step


async def test_a_run_has_system_events_from_its_creation_to_its_end(server: Work):
    await server.a_function()
    await server.a_worker()
    async with following(server, "system.run.>") as system:
        (run_id,) = (await server.emit(data={"total": 100})).run_ids
        job = await server.claim()
        await server.report(job, "completed", step(job, "pay", {"paid": True}), output={"ok": 1})

        assert await system.topics(6) == [
            f"system.run.{run_id}.created",
            f"system.run.{run_id}.updated",
            f"system.run.{run_id}.step.{run_id}:pay:0.created",
            f"system.run.{run_id}.step.{run_id}:pay:0.started",
            f"system.run.{run_id}.step.{run_id}:pay:0.completed",
            f"system.run.{run_id}.completed",
        ]


async def test_the_start_of_a_step_is_published_once_when_it_was_reported_before_its_end(server: Work):
    await server.a_function()
    await server.a_worker()
    (run_id,) = (await server.emit(data={"total": 100})).run_ids
    job = await server.claim()
    async with following(server, "system.run.*.step.*.*") as system:
        pay = f"{run_id}:pay:0"
        await server.report(job, "progress", started=[{"id": pay, "name": "pay"}], running=1)
        await server.report(job, "completed", {**step(job, "pay", 1), "announced": True}, step(job, "ship", 2))

        assert await system.topics(6) == [
            f"system.run.{run_id}.step.{pay}.created",
            f"system.run.{run_id}.step.{pay}.started",
            f"system.run.{run_id}.step.{pay}.completed",
            f"system.run.{run_id}.step.{run_id}:ship:0.created",
            f"system.run.{run_id}.step.{run_id}:ship:0.started",
            f"system.run.{run_id}.step.{run_id}:ship:0.completed",
        ]


async def test_only_the_end_of_a_step_has_the_time_of_its_end(server: Work):
    await server.a_function()
    await server.a_worker()
    await server.emit(data={"total": 100})
    job = await server.claim()
    async with following(server, "system.run.*.step.*.*") as system:
        times = {"started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:01Z", "duration_ms": 1_000}
        await server.report(job, "completed", {**step(job, "pay", 1), **times})
        events = await system.data(3)

    names = ("startedAt", "endedAt", "durationMs", "output")
    assert [{name for name in names if name in each} for each in events] == [{"startedAt"}, {"startedAt"}, {*names}]


async def test_system_events_of_a_run_have_its_status_output_and_error(server: Work):
    run = await server.a_run()
    async with following(server, f"system.run.{run.id}.*") as system:
        job = await server.claim()
        await server.report(job, "failed", error={"message": "no", "retryable": False})
        running, failed = await system.data(2)

    assert (running["status"], "output" in running, "error" in running) == ("running", False, False)
    assert (failed["status"], failed["error"]["message"], failed["runId"]) == ("failed", "no", run.id)


async def test_functions_and_workers_have_system_events(server: Work):
    async with following(server, "system.function.>") as functions, following(server, "system.worker.>") as workers:
        await server.a_function("fraud/check.v2")
        await server.a_function("fraud/check.v2")
        await server.a_function("fraud/check.v2", on="other.event")
        await server.a_worker("w.1")
        server.move(10 * 60_000)
        await server.loop(EvictWorkers.name)

        assert await functions.topics(2) == [
            "system.function.fraud/check.v2.registered",
            "system.function.fraud/check.v2.updated",
        ]
        assert await workers.topics(5) == [
            "system.worker.w.1.registered",
            "system.worker.w.1.connected",
            "system.worker.w.1.health",
            "system.worker.w.1.evicted",
            "system.worker.w.1.disconnected",
        ]


async def health_of(followed: Any, count: int) -> list[tuple[str, str | None, bool | None, str | None]]:
    """Topic, health, whether it drains, and reason of the next events."""
    events = [(each.topic, read_json(each.data)) for each in await followed.next(count)]
    return [
        (topic.rpartition(".")[2], data.get("health"), data.get("draining"), data.get("reason"))
        for topic, data in events
    ]


async def test_a_silent_worker_is_unhealthy_until_its_next_request(server: Work):
    async with following(server, "system.worker.>") as workers:
        await server.a_worker()
        server.move(60_000)
        await server.loop(EvictWorkers.name)
        await server.loop(EvictWorkers.name)
        await server.heartbeat()
        server.move(60_000)
        await server.loop(EvictWorkers.name)
        server.move(60_000)
        await server.loop(EvictWorkers.name)
        await server.heartbeat()

        assert await health_of(workers, 9) == [
            ("registered", None, None, None),
            ("connected", None, None, None),
            ("health", "healthy", False, None),
            ("health", "unhealthy", False, None),
            ("health", "healthy", False, None),
            ("health", "unhealthy", False, None),
            ("evicted", None, None, "evicted"),
            ("disconnected", None, None, "evicted"),
            ("connected", None, None, None),
        ]


@pytest.mark.parametrize("runtime", ["go", "python-3.12"])
async def test_a_worker_that_drains_its_stream_is_shown_so_and_disconnected_at_its_end(server: Work, runtime: str):
    await server.a_function()
    async with following(server, "system.worker.>") as workers:
        async with a_stream(server, runtime=runtime) as worker:
            await server.emit()
            job = await worker.job()
            for _ in range(2):
                worker.send(jobNack=worker.of(job, runId=job.run_id, reason="JOB_NACK_REASON_DRAINING"))
            assert [each[0] for each in await health_of(workers, 3)] == ["registered", "connected", "health"]
            assert await health_of(workers, 1) == [("health", "healthy", True, None)]
        assert await health_of(workers, 2) == [
            ("health", "healthy", True, None),
            ("disconnected", None, None, "drained"),
        ]
    assert (await server.call(jobs.list_workers)).workers == []


async def test_an_id_with_dots_is_one_segment_of_a_pattern(server: Work):
    async with (
        following(server, "system.function.*.registered") as star,
        following(server, "system.function.fraud.check.>") as named,
        following(server, "system.function.fraud.*") as other,
    ):
        await server.a_function("fraud.check")

        assert await star.topics() == await named.topics() == ["system.function.fraud.check.registered"]
        assert await other.rest() == []


async def test_removed_runs_have_system_events(database_url: str):
    async with open_server(Work, database_url, run_retention_days=1) as server:
        run = await server.a_run()
        job = await server.claim()
        await server.report(job, "completed")
        async with following(server, "system.run.*.deleted") as system:
            server.move(2 * 24 * 3600 * 1000)
            await server.loop("runs-purge")
            assert await system.topics() == [f"system.run.{run.id}.deleted"]


async def test_environments_receive_only_their_own_events(server: Work):
    async with following(server, "system.>") as ours, following(server, "system.>", env="staging") as theirs:
        await server.a_function("here")
        await server.a_function("there", env="staging")

        assert await ours.topics() == ["system.function.here.registered"]
        assert await theirs.topics() == ["system.function.there.registered"]
        assert await ours.rest() == await theirs.rest() == []


async def test_notices_of_a_refused_transaction_are_not_delivered(server: Work):
    def refused(tx: object) -> None:
        tx.publish_local(Notice("default", ("function", "x", "registered"), "{}", 0))  # type: ignore[attr-defined]
        raise InvalidSubscription

    async with following(server, "system.>") as system:
        with pytest.raises(InvalidSubscription):
            await server.db.write(refused)
        await server.a_function("kept")
        assert await system.topics() == ["system.function.kept.registered"]
        assert await system.rest() == []


async def test_recent_events_are_replayed_and_live_ones_follow(server: Work):
    for name in "abc":
        await server.a_function(name)
    async with following(server, "system.function.>", replay=2) as system:
        await server.a_function("d")
        assert [data["id"] for data in await system.data(3)] == ["b", "c", "d"]


async def test_a_subscription_goes_on_after_the_last_sequence_it_saw(server: Work):
    async with following(server, "system.function.>") as system:
        await server.a_function("a")
        (seen,) = await system.next()
    await server.a_function("b")
    async with following(server, "system.function.>", start_after_sequence=seen.sequence) as system:
        await server.a_function("c")
        assert [data["id"] for data in await system.data(2)] == ["b", "c"]


async def test_what_is_not_kept_any_more_is_refused_and_not_skipped(database_url: str):
    async with open_server(Work, database_url, system_events_kept=5) as server:
        async with following(server, "system.function.>") as system:
            await server.a_function("first")
            (seen,) = await system.next()
        for number in range(10):
            await server.a_function(f"f{number}")
        with pytest.raises(SequenceNotKept):
            async with following(server, "system.>", start_after_sequence=seen.sequence):
                pass
        with pytest.raises(SequenceNotKept):
            async with following(server, "system.>", start_after_sequence=seen.sequence + 10**9):
                pass
        # From the beginning of what there is.
        async with following(server, "system.function.>", start_after_sequence=0) as system:
            assert [data["id"] for data in await system.data(5)] == ["f5", "f6", "f7", "f8", "f9"]


async def test_a_sequence_of_an_earlier_start_is_refused(database_url: str):
    async with open_server(Work, database_url) as server:
        async with following(server, "system.function.>") as system:
            await server.a_function("a")
            (seen,) = await system.next()
        clock = server.clock
    clock.move(1_000)
    async with open_server(Work, database_url, clock=clock) as server:
        with pytest.raises(SequenceNotKept):
            async with following(server, "system.>", start_after_sequence=seen.sequence):
                pass


async def test_all_secrets_are_meant_by_the_pattern_that_clients_have_for_them(server: Work):
    async with following(server, "system.secret.*") as system:
        await server.db.write(
            lambda tx: tx.publish_local(Notice("default", ("secret", "API.KEY", "updated"), "{}", server.now))
        )
        assert await system.topics() == ["system.secret.API.KEY.updated"]


async def test_config_documents_have_system_events(server: Work):
    async with following(server, "system.config.>") as system:
        await server.call(config.set_config, name="app.flags", data={"dark": True})
        await server.call(config.patch_config, name="app.flags", data={"fast": 1})
        await server.call(config.delete_config, name="app.flags")
        await server.call(config.delete_config, name="app.flags")
        entries = await system.next(3)
        assert await system.rest() == []

    assert [entry.topic for entry in entries] == [
        "system.config.app.flags.updated",
        "system.config.app.flags.updated",
        "system.config.app.flags.deleted",
    ]
    documents = [read_json(entry.data) for entry in entries]
    assert documents[1]["data"] == {"dark": True, "fast": 1}
    assert [each["revision"] for each in documents] == sorted({each["revision"] for each in documents})


async def test_new_states_of_projections_have_system_events(server: Work):
    await server.call(projections.register, name="totals", events=["order.*"], mode="managed")
    emitted = await server.emit("order.placed", {"total": 5})
    async with following(server, "system.projection.totals.>") as system:
        await server.call(
            projections.save, name="totals", state={"sum": 5}, last_event_id=emitted.event_id, last_event_seq=1
        )
        (entry,) = await system.next()

    assert entry.topic == "system.projection.totals.__global__.updated"
    assert read_json(entry.data) == {
        "state": {"sum": 5},
        "last_event_id": emitted.event_id,
        "last_event_name": "order.placed",
    }


async def test_a_browser_whose_place_is_not_kept_goes_on_with_what_is(server: Work):
    for name in "ab":
        await server.a_function(name)
    async with aclosing(server.stream(subscriptions.watch, pattern="system.function.>", last_event_id=5)) as events:
        assert [read_json((await anext(events)).data)["id"] for _ in range(2)] == ["a", "b"]


async def test_the_first_answer_of_a_stream_is_what_is_wrong(server: Work):
    request = subscriptions.Watch(pattern="system.function.>", after=5)
    events = server.dispatch.stream(subscriptions.watch, Call(environment="default", now=server.now), request)

    with pytest.raises(SequenceNotKept):
        await anext(events)


async def test_an_append_to_a_stream_has_a_system_event(server: Work):
    async with following(server, "system.stream.>") as appends:
        fields = {"entity_id": "cart.1", "entity_type": "cart", "event_name": "cart.opened"}
        appended = await server.call(streams.append, **fields, data={"n": 1})
        await server.emit()
        (found,) = await appends.next()
        rest = await appends.rest()

    assert found.topic == "system.stream.cart.1.appended"
    assert read_json(found.data) == {**fields, "entity_version": 1, "event_id": appended.event_id}
    assert rest == []

"""A run restarts: it ends and the next link of its chain begins in one commit, with all that belongs to the chain."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ironflow.base.call import CALLER_LEFT
from ironflow.base.time import DAY_MS
from ironflow.engine.errors import RunEnded, StaleExecution
from ironflow.features.bulk import contract as bulk
from ironflow.features.controls import contract as controls
from ironflow.features.events import contract as events
from ironflow.features.jobs.contract import Assignment
from ironflow.features.messages import contract as messages
from ironflow.features.messages import store
from ironflow.features.messages.loops import PurgeMessages
from ironflow.features.query import contract as query
from ironflow.features.redaction import contract as redaction
from ironflow.features.runs import chains
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunNotFound, RunStatus
from ironflow.features.runs.service import Runs
from ironflow.features.time_travel import contract as past
from tests.support.server import open_server
from tests.support.work import LEASE_MS, Work, step
from tests.support.yields import invokes, sleeps, waits_for

HOUR_MS = 3_600_000


async def a_chat(server: Work, **config: Any) -> None:
    await server.a_function("chat", on=None, **config)
    await server.a_worker(function_ids=["chat"])


async def invoke(server: Work, key: str = "", data: Any = None, **more: Any) -> str:
    return (await server.call(events.invoke, id="chat", key=key, data=data, **more)).run_id


async def restart(server: Work, job: Assignment, data: Any = None, *steps: dict[str, Any], **more: Any) -> None:
    await server.report(job, "completed", *steps, restart={"data": data}, **more)


async def restarted(server: Work, data: Any = None) -> Assignment:
    """The only job that is ready restarts its run; the job of its successor."""
    await restart(server, await server.claim(), data)
    return await server.claim()


def text(payload: Any) -> str:
    """A payload as it was recorded."""
    return bytes(payload).decode()


async def chain(server: Work, run_id: str, **page: Any) -> list[str]:
    return [each.id for each in (await server.call(runs.chain, id=run_id, **page)).runs]


async def send(server: Work, to: str, data: Any, **more: Any) -> messages.Sent:
    return await server.call(messages.send, run_id=to, name="prompt", data=data, **more)


async def take(server: Work, job: Assignment, number: int = 0) -> Any:
    found = await server.call(
        messages.take,
        worker="w1",
        job=job.job_id,
        execution_seq=job.execution_seq,
        lease_token=job.lease_token,
        step_id=f"{job.run_id}:prompt:{number}",
        step_name="prompt",
        name="prompt",
    )
    return None if found.message is None else msgspec.json.decode(found.message)["data"]


def data_of(job: Assignment) -> Any:
    return msgspec.json.decode(job.event.data)


# The chain


async def test_a_run_that_restarts_ends_well_and_its_successor_begins_without_its_steps(server: Work):
    await a_chat(server)
    first_id = await invoke(server, "ada", {"n": 0})
    first = await server.claim()
    await restart(server, first, {"n": 1}, step(first, "greet", "hello"))

    second = await server.claim()

    assert (data_of(second), second.completed_steps, second.attempt, second.event.source) == (
        {"n": 1}, [], 1, "restart",
    )  # fmt: skip
    one, two = await server.run(first_id), await server.run(second.run_id)
    assert (one.status, text(one.output), one.error, one.key) == (RunStatus.COMPLETED, "null", None, "ada")
    assert (one.restarted_from, one.restarted_as, one.first_run_id, one.link) == (None, two.id, one.id, 0)
    assert (two.restarted_from, two.restarted_as, two.first_run_id, two.link) == (one.id, None, one.id, 1)
    assert (two.key, two.function_id, two.status) == ("ada", "chat", RunStatus.RUNNING)


async def test_the_metadata_of_the_event_go_along(server: Work):
    await server.a_function()
    await server.a_worker()
    await server.emit(metadata={"tenant": "t1"})

    assert text((await restarted(server)).event.metadata) == '{"tenant":"t1"}'


async def test_the_key_names_the_last_link_and_is_free_when_that_has_ended(server: Work):
    await a_chat(server)
    first_id = await invoke(server, "ada")
    second = await restarted(server)

    assert (await server.run("chat:ada")).id == second.run_id
    assert (await server.call(events.invoke, id="chat", key="ada")).run_id == second.run_id
    await server.report(second, "completed", output=7)
    assert await invoke(server, "ada") not in (first_id, second.run_id)


async def test_a_chain_is_listed_from_any_link_and_page_by_page(server: Work):
    await a_chat(server)
    ids = [await invoke(server)]
    job = await server.claim()
    for _ in range(4):
        await restart(server, job)
        job = await server.claim()
        ids.append(job.run_id)

    for run_id in ids:
        assert await chain(server, run_id) == ids
    page = await server.call(runs.chain, id=ids[2], limit=3)
    assert [each.id for each in page.runs] == ids[:3]
    rest = await server.call(runs.chain, id=ids[2], limit=3, cursor=page.next_cursor)
    assert ([each.id for each in rest.runs], rest.next_cursor) == (ids[3:], None)
    assert (await server.call(runs.get, id=ids[0], last=True)).id == ids[-1]
    with pytest.raises(RunNotFound):
        await chain(server, "run_nothing")
    with pytest.raises(RunNotFound):
        await server.call(runs.chain, id=ids[0], env="other")


async def test_a_run_that_has_not_restarted_is_a_chain_of_its_own(server: Work):
    await a_chat(server)
    run_id = await invoke(server)
    (alone,) = (await server.call(runs.chain, id=run_id)).runs
    assert (alone.id, alone.first_run_id, alone.link) == (run_id, None, None)


async def test_links_that_retention_removed_do_not_end_the_chain(database_url: str):
    async with open_server(Work, database_url, run_retention_days=1) as server:
        await a_chat(server)
        first_id = await invoke(server, "ada")
        second = await restarted(server)
        await send(server, "chat:ada", "late")
        await server.sleep(second, until=server.now + 3 * DAY_MS)
        server.move(2 * DAY_MS)
        await server.loop("runs-purge")

        with pytest.raises(RunNotFound):
            await server.run(first_id)
        assert await chain(server, first_id) == [second.run_id]
        assert await chain(server, "chat:ada") == [second.run_id]
        # The inbox is still the first link's.
        await PurgeMessages(server.db, 1).run_once(server.now)
        await send(server, second.run_id, "later")
        server.move(DAY_MS)
        await server.loop("timers")
        third = await restarted(server)
        assert [await take(server, third, number) for number in range(3)] == ["late", "later", None]
        assert (await server.run(third.run_id)).first_run_id == first_id


async def test_the_id_of_a_first_link_that_retention_removed_names_the_chain(database_url: str):
    async with open_server(Work, database_url, run_retention_days=1) as server:
        await a_chat(server)
        first_id = await invoke(server, "ada")
        second = await restarted(server)
        await server.sleep(second, until=server.now + 3 * DAY_MS)
        server.move(2 * DAY_MS)
        await server.loop("runs-purge")

        assert (await server.call(runs.get, id=first_id, last=True)).id == second.run_id
        assert (await send(server, first_id, "late")).run_id == second.run_id
        assert [each.id for each in (await server.call(messages.list_, run_id=first_id)).messages]
        with pytest.raises(RunNotFound):
            await server.call(runs.get, id=first_id, last=True, env="shop")
        with pytest.raises(RunNotFound):
            await server.call(messages.send, run_id=first_id, name="prompt", data=1, env="shop")
        with pytest.raises(RunNotFound):
            await server.call(messages.list_, run_id=first_id, env="shop")


@pytest.mark.parametrize("given", [{"idempotency_key": "once"}, {"key": "ada"}], ids=["idempotency", "key"])
async def test_a_caller_with_a_key_waits_for_the_last_link_when_the_first_was_removed(
    database_url: str, given: dict[str, str]
):
    async with open_server(Work, database_url, run_retention_days=1) as server:
        await a_chat(server)
        await server.call(events.invoke, id="chat", **given)
        second = await restarted(server)
        await server.sleep(second, until=server.now + 3 * DAY_MS)
        server.move(2 * DAY_MS)
        await server.loop("runs-purge")

        waiting = await server.call(events.invoke_sync, id="chat", timeout_ms=1, **given)
        assert (waiting.result.run_id, waiting.result.wait_timed_out) == (second.run_id, True)

        server.move(2 * DAY_MS)
        await server.loop("timers")
        await server.report(await server.claim(), "completed", output="end")
        ended = await server.call(events.invoke_sync, id="chat", timeout_ms=1, idempotency_key="once")
        assert given != {"idempotency_key": "once"} or text(ended.result.output) == '"end"'


async def test_a_caller_that_disconnects_cancels_the_last_link_when_the_first_was_removed(database_url: str):
    async with open_server(Work, database_url, run_retention_days=1) as server:
        await a_chat(server)
        waiting = asyncio.create_task(server.call(events.invoke_sync, id="chat", timeout_ms=60_000))
        (first,) = await server.poll(wait=10)
        await restart(server, first)
        second = await server.claim()
        await server.sleep(second, until=server.now + 3 * DAY_MS)
        server.move(2 * DAY_MS)
        await server.loop("runs-purge")

        waiting.cancel(CALLER_LEFT)
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert (await server.run(second.run_id)).status is RunStatus.CANCELLED


@pytest.mark.parametrize("first_deleted", [0, 1])
async def test_messages_of_a_chain_are_deleted_with_the_last_link_that_is_kept(server: Work, first_deleted: int):
    await a_chat(server)
    links = [await invoke(server, "ada"), ""]
    other_id = await invoke(server, "bob")
    await send(server, "chat:ada", "read")
    await send(server, "chat:bob", "another")
    first = next(each for each in [await server.claim(), await server.claim()] if each.run_id == links[0])
    assert await take(server, first, 0) == "read"
    await restart(server, first)
    second = await server.claim()
    links[1] = second.run_id
    await send(server, "chat:ada", "unread")
    await server.report(second, "completed")

    async def inboxes() -> list[str]:
        return [row[0] for row in await server.db.read(lambda tx: tx.rows("SELECT inbox FROM messages"))]

    await server.call(runs.delete, id=links[first_deleted])
    assert sorted(await inboxes()) == sorted([links[0], links[0], other_id])
    await server.call(runs.delete, id=links[1 - first_deleted])
    assert await inboxes() == [other_id]


async def test_messages_of_a_chain_are_purged_with_all_its_links(database_url: str):
    async with open_server(Work, database_url, run_retention_days=1) as server:
        await a_chat(server)
        await invoke(server, "ada")
        second = await restarted(server)
        await send(server, "chat:ada", "unread")
        await server.report(second, "completed")
        server.move(2 * DAY_MS)
        await server.loop("runs-purge")

        assert await server.db.read(lambda tx: tx.row("SELECT count(*) FROM messages")) == (0,)


async def test_the_early_links_of_a_schedule_are_purged_and_the_later_one_still_counts(database_url: str):
    async with open_server(Work, database_url, run_retention_days=1) as server:
        await server.a_function("tick", triggers=[{"cron": "* * * * *", "overlap": "skip"}])
        await server.a_worker(function_ids=["tick"])
        server.move(60_000)
        await server.loop("cron")
        second = await restarted(server)
        await server.sleep(second, until=server.now + 3 * DAY_MS)
        server.move(2 * DAY_MS)
        await server.loop("runs-purge")
        await server.loop("cron")

        assert [each.id for each in await server.runs(function_id="tick")] == [second.run_id]


async def test_sql_shows_the_chain(server: Work):
    await a_chat(server)
    first_id = await invoke(server)
    second = await restarted(server)
    sql = "SELECT id, restarted_from, restarted_as, first_run_id, link FROM runs ORDER BY link"
    found = await server.call(query.execute, query=sql)
    assert [msgspec.json.decode(row) for row in found.rows] == [
        [first_id, None, second.run_id, None, 0],
        [second.run_id, first_id, None, first_id, 1],
    ]


# Those that wait


async def test_a_caller_that_waits_gets_the_result_of_the_last_link(server: Work):
    await server.a_function()
    await server.a_worker()
    waiting = asyncio.create_task(server.call(events.emit_sync, event="order.placed", data=1, timeout_ms=60_000))
    (first,) = await server.poll(wait=10)
    await restart(server, first)
    third = await restarted(server)
    await server.report(third, "completed", output={"total": 3})

    (result,) = (await waiting).results
    assert (result.run_id, result.status, text(result.output)) == (third.run_id, RunStatus.COMPLETED, '{"total":3}')


async def test_a_wait_that_times_out_answers_with_the_link_that_goes_on(server: Work):
    await a_chat(server)
    first_id = await invoke(server)
    second = await restarted(server)

    (result,) = await server.part(Runs).wait([first_id], 10)

    assert (result.run_id, result.status, result.wait_timed_out) == (second.run_id, RunStatus.RUNNING, True)


async def test_a_caller_that_disconnects_cancels_the_link_that_goes_on(server: Work):
    await a_chat(server)
    waiting = asyncio.create_task(server.call(events.invoke_sync, id="chat", timeout_ms=60_000))
    (first,) = await server.poll(wait=10)
    await restart(server, first)
    second = await server.claim()

    waiting.cancel(CALLER_LEFT)
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert (await server.run(second.run_id)).status is RunStatus.CANCELLED


async def test_a_parent_waits_for_the_last_link(server: Work):
    await server.a_function()
    await a_chat(server)
    await server.a_worker(function_ids=["charge", "chat"])
    await server.emit()
    parent = await server.claim()
    await server.report(parent, "yielded", yielded=invokes(parent, "chat", {"n": 0}, invoke_timeout_ms=HOUR_MS))

    second = await restarted(server)
    assert await server.poll() == []
    assert (await server.run(parent.run_id)).state == "waiting: invoke"
    assert (await server.run(second.run_id)).parent_run_id == parent.run_id
    await server.report(second, "completed", output=9)

    again = await server.claim()
    assert [(each.name, text(each.output)) for each in again.completed_steps] == [("chat", "9")]


async def test_a_parent_gets_the_failure_of_the_last_link(server: Work):
    await server.a_function()
    await a_chat(server, retry={"max_attempts": 1})
    await server.a_worker(function_ids=["charge", "chat"])
    await server.emit()
    parent = await server.claim()
    await server.report(parent, "yielded", yielded=invokes(parent, "chat", invoke_timeout_ms=HOUR_MS))
    second = await restarted(server)
    await server.report(second, "failed")

    (invoked,) = (await server.claim()).completed_steps
    assert invoked.status == "failed"
    assert msgspec.json.decode(invoked.error or b"")["cause"] == "the card service is down"


async def test_a_parent_that_is_cancelled_cancels_the_last_link(server: Work):
    await server.a_function()
    await a_chat(server)
    await server.a_worker(function_ids=["charge", "chat"])
    await server.emit()
    parent = await server.claim()
    await server.report(parent, "yielded", yielded=invokes(parent, "chat", invoke_timeout_ms=HOUR_MS))
    second = await restarted(server)

    await server.call(runs.cancel, id=parent.run_id)

    assert (await server.run(second.run_id)).status is RunStatus.CANCELLED


async def test_a_join_waits_for_the_last_link_of_its_handle(server: Work):
    await server.a_function()
    await a_chat(server)
    await server.a_worker(function_ids=["charge", "chat"])
    await server.emit()
    parent = await server.claim()
    start = {"type": "start_function", "step_id": f"{parent.run_id}:chat:0", "function_id": "chat", "input": 1}
    await server.report(parent, "progress", yields=[start])
    await server.report(parent, "yielded", join={"step_id": start["step_id"], "left": 0})

    second = await restarted(server)
    assert await server.poll() == []
    await server.report(second, "completed", output=5)

    assert [text(each.output) for each in (await server.claim()).completed_steps] == ["5"]


# Messages


async def test_unread_messages_go_along_in_order_and_each_is_taken_once(server: Work):
    await a_chat(server)
    first_id = await invoke(server, "ada")
    for number in range(3):
        await send(server, "chat:ada", number)
    first = await server.claim()
    assert await take(server, first) == 0
    await restart(server, first)
    # By the key, and by the ids of the old link and the new one.
    await send(server, "chat:ada", 3)
    sent = await send(server, first_id, 4)
    second = await server.claim()
    await send(server, second.run_id, 5)

    assert sent.run_id == second.run_id
    assert [await take(server, second, number) for number in range(6)] == [1, 2, 3, 4, 5, None]
    listed = (await server.call(messages.list_, run_id=first_id)).messages
    assert [(each.number, each.run_id) for each in listed] == [(1, first_id)] + [
        (number, second.run_id) for number in range(2, 7)
    ]


async def test_a_message_wakes_a_link_that_waits(server: Work):
    await a_chat(server)
    await invoke(server, "ada")
    second = await restarted(server)
    await server.report(second, "yielded", yielded=waits_for(second, "$message.prompt", name="prompt"))

    await send(server, "chat:ada", "hello")

    (received,) = (await server.claim()).completed_steps
    assert msgspec.json.decode(received.output)["data"] == "hello"


async def test_a_question_that_was_not_taken_is_answered_by_a_later_link(server: Work):
    await a_chat(server)
    await invoke(server, "ada")
    asked = await server.call(messages.ask, run_id="chat:ada", name="prompt", data=1, idempotency_key="q")
    assert asked.state == "accepted"
    second = await restarted(server)
    assert await take(server, second) == 1
    await server.call(
        messages.answer, worker="w1", job=second.job_id, execution_seq=second.execution_seq,
        lease_token=second.lease_token, step_id=f"{second.run_id}:reply:0", step_name="reply", message_id=asked.id,
        value="yes",
    )  # fmt: skip

    again = await server.call(messages.ask, run_id="chat:ada", name="prompt", data=1, idempotency_key="q")

    assert (again.state, text(again.value), again.id) == ("answered", '"yes"', asked.id)


async def test_a_question_that_was_taken_and_not_answered_stays_unanswered(server: Work):
    await a_chat(server)
    await invoke(server, "ada")
    job = await server.claim()
    await server.call(messages.ask, run_id="chat:ada", name="prompt", data=1, idempotency_key="q")
    assert await take(server, job) == 1
    await restart(server, job)

    asked = await server.call(messages.ask, run_id="chat:ada", name="prompt", data=1, idempotency_key="q")

    assert (asked.state, asked.taken) == ("unanswered", True)


async def test_redacting_an_early_link_leaves_what_its_chain_has_not_read(server: Work):
    await a_chat(server)
    first_id = await invoke(server, "ada")
    for number in range(2):
        await send(server, "chat:ada", f"secret {number}")
    first = await server.claim()
    await take(server, first)
    await restart(server, first)

    await server.call(redaction.redact_run, id=first_id)

    second = await server.claim()
    assert await take(server, second) == "secret 1"
    shown = [bytes(each.data) for each in (await server.call(messages.list_, run_id=first_id)).messages]
    assert (b"secret" in shown[0], shown[1]) == (False, b'"secret 1"')


# What else goes along


async def test_what_cancels_a_run_cancels_the_links_that_follow(server: Work):
    await server.a_function(cancel_on=[{"event": "order.cancelled", "match": "id"}])
    await server.a_worker()
    await server.emit(data={"id": 1})
    second = await restarted(server, {"other": "data"})
    await server.emit("order.cancelled", {"id": 2})
    assert (await server.run(second.run_id)).status is RunStatus.RUNNING
    await restart(server, second)
    third = await server.claim()

    await server.emit("order.cancelled", {"id": 1})

    assert (await server.run(third.run_id)).status is RunStatus.CANCELLED


async def test_a_cancel_on_that_was_changed_meanwhile_is_read_from_the_new_data(server: Work):
    await server.a_function()
    await server.a_worker()
    await server.emit(data={"id": 1})
    job = await server.claim()
    await server.a_function(cancel_on=[{"event": "order.cancelled", "match": "id"}])
    await restart(server, job, {"id": 2})
    second = await server.claim()
    await server.emit("order.cancelled", {"id": 1})
    assert (await server.run(second.run_id)).status is RunStatus.RUNNING

    await server.emit("order.cancelled", {"id": 2})

    assert (await server.run(second.run_id)).status is RunStatus.CANCELLED


async def test_slots_that_are_held_to_the_end_are_handed_over_and_no_other_run_comes_between(server: Work):
    limit = {"limit": 1, "key": "user", "scope": "chats", "hold": "run"}
    await a_chat(server, concurrency=limit)
    await invoke(server, data={"user": "ada"})
    job = await server.claim()
    other_id = await invoke(server, data={"user": "ada"})
    await server.sleep(job, until=server.now + HOUR_MS)
    server.move(HOUR_MS)
    await server.loop("timers")

    # Its new data has no user: the slot is that of the chain.
    second = await restarted(server, {})
    assert (await server.run(other_id)).status is RunStatus.PENDING
    why = await server.call(controls.why, id=other_id)
    assert (why.reason, why.held_by) == ("no_slot", [second.run_id])
    await server.report(second, "completed")

    assert (await server.claim()).run_id == other_id


async def test_a_slot_of_one_execution_goes_to_the_run_that_waits_longest(server: Work):
    await a_chat(server, concurrency={"limit": 1})
    await invoke(server)
    job = await server.claim()
    other_id = await invoke(server)
    await restart(server, job)

    assert (await server.claim()).run_id == other_id


async def test_the_priority_goes_along(server: Work):
    await a_chat(server, priority="data.gold ? 10 : 0")
    await invoke(server, data={"gold": True})
    second = await restarted(server)

    found = await server.db.read(lambda tx: tx.rows("SELECT priority FROM runs ORDER BY id"))
    assert [row[0] for row in found] == [10, 10]
    assert second.event.name == "ironflow/function.invoked"


async def test_a_pause_that_was_requested_holds_the_successor(server: Work):
    await a_chat(server)
    await invoke(server, "ada")
    job = await server.claim()
    await server.call(controls.pause, run_id="chat:ada")
    await restart(server, job)

    assert (await server.run("chat:ada")).state == "paused: injection"
    assert await server.poll() == []
    await server.call(controls.resume, run_id="chat:ada")
    assert (await server.claim()).run_id == (await server.run("chat:ada")).id


async def test_a_function_that_was_registered_anew_gives_its_version_to_the_successor(server: Work):
    await a_chat(server)
    await invoke(server)
    job = await server.claim()
    await a_chat(server, retry={"max_attempts": 7})
    await restart(server, job)

    second = await server.claim()
    run = await server.run(second.run_id)
    assert (second.max_attempts, run.function_version) == (7, 2)


async def test_the_runs_of_a_schedule_do_not_overlap_with_a_later_link(server: Work):
    await server.a_function("tick", triggers=[{"cron": "* * * * *", "overlap": "skip"}])
    await server.a_worker(function_ids=["tick"])
    server.move(60_000)
    await server.loop("cron")
    await restarted(server)
    for _ in range(3):
        server.move(60_000)
        await server.loop("cron")

    assert len(await server.runs(function_id="tick")) == 2


# What does not happen


async def test_a_restart_that_is_reported_again_happens_once(server: Work):
    await a_chat(server)
    await invoke(server)
    job = await server.claim()
    await restart(server, job, 1)
    # The answer was lost.
    await restart(server, job, 1)

    assert len(await server.runs(function_id="chat")) == 2


async def test_a_restart_with_a_lost_lease_is_refused(server: Work):
    await a_chat(server)
    run_id = await invoke(server, "ada")
    job = await server.claim()
    server.move(LEASE_MS)
    await server.loop("leases")

    with pytest.raises(StaleExecution):
        await restart(server, job)
    assert await chain(server, run_id) == [run_id]
    second = await restarted(server)
    assert await chain(server, "chat:ada") == [run_id, second.run_id]


async def test_compensations_do_not_run(server: Work):
    await a_chat(server, compensation_timeout_ms=1000)
    await invoke(server)
    job = await server.claim()
    await restart(server, job, None, step(job, "charge"))

    second = await server.claim()
    assert second.compensating is None
    assert [each.step_type for each in await server.steps(job.run_id)] == ["invoke"]


async def test_open_steps_end_with_the_link(server: Work):
    await a_chat(server)
    await invoke(server)
    job = await server.claim()
    await server.report(job, "progress", yields=[sleeps(job, server.now + HOUR_MS)])
    await restart(server, job)

    assert [each.stored_status for each in await server.steps(job.run_id)] == ["cancelled"]
    server.move(2 * HOUR_MS)
    await server.loop("timers")
    assert (await server.run(job.run_id)).status is RunStatus.COMPLETED


async def test_a_link_that_has_restarted_is_not_cancelled_and_the_running_one_is_named(server: Work):
    await a_chat(server)
    first_id = await invoke(server, "ada")
    second = await restarted(server)
    await restart(server, second)
    third = await server.claim()

    with pytest.raises(RunEnded, match=third.run_id):
        await server.call(runs.cancel, id=first_id)
    with pytest.raises(RunEnded, match=third.run_id):
        await server.call(controls.pause, run_id=first_id)
    why = await server.call(controls.why, id=first_id)
    assert why.reason == "restarted"
    assert third.run_id in why.message
    await server.call(runs.cancel, id="chat:ada")
    with pytest.raises(RunEnded, match=f"ended with run {third.run_id}: it is cancelled"):
        await server.call(runs.cancel, id=first_id)


async def test_replacing_a_run_replaces_the_link_that_goes_on(server: Work):
    await a_chat(server)
    await invoke(server, "ada")
    second = await restarted(server)

    new_id = await invoke(server, "ada", if_running="replace")

    old = await server.run(second.run_id)
    assert (old.status, (await server.run("chat:ada")).id) == (RunStatus.CANCELLED, new_id)
    # A restart that is reported now comes too late.
    with pytest.raises(StaleExecution):
        await restart(server, second)
    assert await chain(server, new_id) == [new_id]


async def test_replace_while_a_restart_is_reported(database_url: str):
    """Whichever commits first, one run has the key, and it has not ended."""
    async with open_server(Work, database_url) as server:
        await a_chat(server)
        for number in range(20):
            key = f"k{number}"
            await invoke(server, key)
            job = await server.claim()
            done = await asyncio.gather(
                restart(server, job), invoke(server, key, if_running="replace"), return_exceptions=True
            )
            assert isinstance(done[1], str), done
            assert done[0] is None or isinstance(done[0], StaleExecution)
            open_runs = [each for each in await server.runs(function_id="chat", key=key) if not each.status.ended]
            assert [each.id for each in open_runs] == [(await server.run(f"chat:{key}")).id] == [done[1]]
            await server.call(runs.cancel, id=done[1])


async def test_messages_sent_while_restarts_are_reported_are_not_lost_and_stay_in_order(database_url: str):
    async with open_server(Work, database_url) as server:
        await a_chat(server)
        await invoke(server, "ada")
        seen: list[Any] = []
        for number in range(15):
            job = await server.claim()
            sending = asyncio.gather(*(send(server, "chat:ada", [number, each]) for each in range(3)))
            got = await take(server, job)
            seen += [got] if got is not None else []
            await restart(server, job)
            await sending
        last = await server.claim()
        number = 0
        while (got := await take(server, last, number)) is not None:
            seen.append(got)
            number += 1

    assert sorted(seen) == [[number, each] for number in range(15) for each in range(3)]
    listed = [number for number, _ in seen]
    assert listed == sorted(listed)


# History and advice


async def test_the_timeline_and_the_state_show_the_restart(server: Work):
    await a_chat(server, recording=True)
    await invoke(server)
    second = await restarted(server)
    first = (await server.run(second.run_id)).restarted_from or ""

    entries = (await server.call(past.timeline, run_id=first)).events
    assert f"Restarted as run {second.run_id}" in entries[-1].summary
    assert (await server.call(past.state_at, run_id=first)).restarted_as == second.run_id
    began = (await server.call(past.timeline, run_id=second.run_id)).events[0]
    assert f"as run {first} restarted" in began.summary
    assert (await server.call(past.state_at, run_id=second.run_id)).restarted_from == first


async def test_a_run_past_2000_steps_is_named_once_and_advised_to_restart(
    server: Work, caplog: pytest.LogCaptureFixture
):
    await a_chat(server)
    run_id = await invoke(server)
    job = await server.claim()
    caplog.set_level(logging.WARNING, logger="ironflow")
    for chunk in range(5):
        assert (await server.run(run_id)).advice is None
        steps = [step(job, f"s{chunk * 500 + number}") for number in range(500 if chunk < 4 else 2)]
        await server.report(job, "progress", *steps, step_offset=chunk * 500)
    await server.report(job, "progress", step(job, "another"), step_offset=2002)

    named = [each for each in caplog.records if each.getMessage() == "run has many steps"]
    assert [(each.__dict__["run_id"], each.__dict__["steps"]) for each in named] == [(run_id, 2002)]
    assert "ctx.restart" in ((await server.run(run_id)).advice or "")
    assert "ctx.restart" in (await server.call(controls.why, id=run_id)).message
    await restart(server, job)
    assert (await server.run(run_id)).advice is None


async def test_a_chain_of_1000_links_is_walked_to_its_end(server: Work):
    await a_chat(server)
    first_id = await invoke(server, "ada")
    waiting = asyncio.create_task(server.part(Runs).wait([first_id], 600_000))
    await send(server, "chat:ada", "hello")
    for number in range(1_000):
        job = await server.claim()
        await restart(server, job, number, step(job, "work"))
    last = await server.claim()
    assert await take(server, last) == "hello"
    await server.report(last, "completed", output="end")

    (result,) = await waiting
    assert (result.run_id, text(result.output)) == (last.run_id, '"end"')
    assert (await server.run(last.run_id)).link == 1_000
    assert (await server.call(runs.get, id=first_id, last=True)).id == last.run_id
    assert len(await chain(server, last.run_id, limit=1000)) == 1_000


async def test_cancelling_in_bulk_ends_the_links_that_go_on(server: Work):
    await a_chat(server)
    await invoke(server, "ada")
    second = await restarted(server)
    await server.call(bulk.start, action="cancel", function_id="chat")
    for _ in range(3):
        await server.loops()

    assert (await server.run(second.run_id)).status is RunStatus.CANCELLED


async def test_no_look_of_a_chain_depends_on_its_length(tmp_path: Path):
    looks = {
        chains.LAST: ({"chain_id": "run_1"}, "SEARCH runs USING INDEX runs_by_chain (first_run_id=?)"),
        chains.BEFORE: (
            {"chain_id": "run_1", "link": 9, "limit": 12},
            "SEARCH runs USING INDEX runs_by_chain (first_run_id=? AND link<?)",
        ),
        store.LAST: ({"inboxes": ["run_1"]}, "SEARCH m USING COVERING INDEX messages_in_order (inbox=?)"),
        store.NEXT: (
            {"inbox": "run_1", "name": "prompt"},
            "SEARCH messages USING INDEX messages_unread (inbox=? AND name=?)",
        ),
    }
    async with open_server(Work, str(tmp_path / "ironflow.db")) as server:
        for sql, (params, plan) in looks.items():
            found = await server.db.read(
                lambda tx, sql=sql, params=params: tx.rows(f"EXPLAIN QUERY PLAN {sql}", params)
            )
            tables = [row[3] for row in found if "json_each" not in row[3] and "SUBQUERY" not in row[3]]
            assert tables == [plan]

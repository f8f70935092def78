"""Messages to runs: in order, each taken once, kept until they are taken, and answered once."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ironflow.base.errors import PermissionDenied
from ironflow.base.time import to_millis
from ironflow.engine.errors import StaleExecution
from ironflow.features.controls import contract as controls
from ironflow.features.jobs.contract import Assignment
from ironflow.features.messages import contract, store
from ironflow.features.messages.contract import InboxFull, InvalidRunMessage, ReceiverEnded
from ironflow.features.messages.service import PAGE_BYTES, READ_AT_ONCE, MessageTooLarge
from ironflow.features.messages.taking import Taker
from ironflow.features.redaction import contract as redaction
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import RunNotFound, RunStatus
from ironflow.features.secrets import contract as secrets
from ironflow.features.values import contract as values
from tests.support.server import open_server
from tests.support.work import Work
from tests.support.yields import waits_for


async def a_chat(server: Work) -> None:
    await server.a_function("chat", on=None)
    await server.a_worker(function_ids=["chat"])


async def send(server: Work, data: Any = None, *, key: str = "ada", name: str = "prompt", **more: Any) -> contract.Sent:
    return await server.call(contract.send, run_id=f"chat:{key}", name=name, data=data, **more)


async def take(server: Work, job: Assignment, number: int = 0, name: str = "prompt", **more: Any) -> Any:
    """The data of the message that a step takes; None when there is none."""
    found = await server.call(
        contract.take,
        worker="w1",
        job=job.job_id,
        execution_seq=job.execution_seq,
        lease_token=job.lease_token,
        step_id=f"{job.run_id}:{name}:{number}",
        step_name=name,
        name=name,
        **more,
    )
    return None if found.message is None else msgspec.json.decode(found.message)["data"]


async def answer(server: Work, job: Assignment, message_id: str, value: Any, *, number: int = 0, **more: Any) -> bool:
    done = await server.call(
        contract.answer,
        worker="w1",
        job=job.job_id,
        execution_seq=job.execution_seq,
        lease_token=job.lease_token,
        step_id=f"{job.run_id}:reply\\:prompt:{number}",
        step_name="reply:prompt",
        message_id=message_id,
        value=value,
        **more,
    )
    return done.counted


def receives(job: Assignment, name: str = "prompt", *, number: int = 0, **filter_: Any) -> dict[str, Any]:
    return {**waits_for(job, f"$message.{name}", **filter_), "step_id": f"{job.run_id}:{name}:{number}"}


def memo(job: Assignment) -> list[Any]:
    return [msgspec.json.decode(step.output)["data"] for step in job.completed_steps if step.name == "prompt"]


async def unread(server: Work, key: str = "ada") -> list[Any]:
    found = await server.call(contract.list_, run_id=f"chat:{key}", unread=True)
    return [msgspec.json.decode(each.data) for each in found.messages]


async def test_a_message_starts_its_run_and_waits_for_it(server: Work):
    await a_chat(server)

    first, second = await send(server, 1, start=True, input={"user": "ada"}), await send(server, 2, start=True)

    assert (first.started, second.started, first.run_id == second.run_id) == (True, None, True)
    assert await unread(server) == [1, 2]
    job = await server.claim()
    assert msgspec.json.decode(job.event.data) == {"user": "ada"}
    assert [await take(server, job, number) for number in range(3)] == [1, 2, None]
    assert await unread(server) == []


async def test_without_a_run_a_message_is_refused(server: Work):
    await a_chat(server)
    with pytest.raises(RunNotFound, match="Send with start"):
        await send(server)
    run_id = (await send(server, start=True)).run_id
    await server.call(runs.cancel, id=run_id)

    with pytest.raises(ReceiverEnded):
        await send(server)
    assert (await send(server, start=True)).run_id != run_id


async def test_a_message_that_is_taken_twice_by_one_step_is_the_same(server: Work):
    await a_chat(server)
    for number in range(2):
        await send(server, number, start=True)
    job = await server.claim()

    # The answer to the first request was lost.
    assert [await take(server, job, 0), await take(server, job, 0), await take(server, job, 1)] == [0, 0, 1]


async def test_what_an_execution_took_is_in_the_memo_of_the_next(server: Work):
    await a_chat(server)
    for number in range(3):
        await send(server, number, start=True)
    job = await server.claim()
    assert [await take(server, job, number) for number in range(2)] == [0, 1]
    server.move(90_001)
    await server.loop("leases")

    again = await server.claim()

    assert memo(again) == [0, 1]
    with pytest.raises(StaleExecution):
        await take(server, job, 2)
    assert await take(server, again, 2) == 2


def sets(value: Any, number: int, name: str = "status") -> list[dict[str, Any]]:
    return [{"name": name, "value": value, "number": number}]


async def shown(server: Work, run_id: str) -> dict[str, Any]:
    found = await server.call(values.list_, run_id=run_id)
    return {each.name: msgspec.json.decode(each.value) for each in found.values}


async def test_values_come_with_a_take_whether_or_not_there_is_a_message(server: Work):
    await a_chat(server)
    run_id = (await send(server, 0, start=True)).run_id
    job = await server.claim()

    assert await take(server, job, 0, values=sets("begun", 1)) == 0
    assert await shown(server, run_id) == {"status": "begun"}
    assert await take(server, job, 1, values=sets("idle", 2)) is None
    assert await shown(server, run_id) == {"status": "idle"}
    # A replay, and a request that is repeated.
    assert await take(server, job, 0, values=sets("begun", 1)) == 0
    assert await shown(server, run_id) == {"status": "idle"}


async def test_values_come_with_an_answer_under_its_fence(server: Work):
    await a_chat(server)
    asked = await server.call(contract.ask, run_id="chat:ada", name="prompt", data=1, start=True)
    job = await server.claim()
    await take(server, job, 0)

    assert await answer(server, job, asked.id, "yes", values=sets("answered", 1))
    assert await shown(server, asked.run_id) == {"status": "answered"}
    # The answer to the request was lost; meanwhile the handler has set more.
    assert await answer(server, job, asked.id, "yes", values=sets("more", 2))
    assert await shown(server, asked.run_id) == {"status": "more"}
    server.move(90_001)
    await server.loop("leases")
    await server.claim()
    for request in (
        lambda: answer(server, job, asked.id, "no", number=1, values=sets("late", 3)),
        lambda: take(server, job, 1, values=sets("late", 3)),
    ):
        with pytest.raises(StaleExecution):
            await request()
    assert await shown(server, asked.run_id) == {"status": "more"}


async def test_a_look_for_a_message_that_brings_values_does_not_end_what_a_pause_waits_for(server: Work):
    await a_chat(server)
    run_id = (await send(server, 0, start=True)).run_id
    job = await server.claim()
    assert await take(server, job, 0) == 0
    await server.call(controls.pause, run_id=run_id)

    assert await take(server, job, 1, values=sets("idle", 1)) is None

    assert (await server.run(run_id)).pause_requested
    assert await shown(server, run_id) == {"status": "idle"}


async def test_values_that_are_refused_take_and_answer_nothing(server: Work):
    await a_chat(server)
    asked = await server.call(contract.ask, run_id="chat:ada", name="prompt", data=1, start=True)
    job = await server.claim()

    with pytest.raises(values.InvalidRunValue):
        await take(server, job, 0, values=sets(1, 1, "a/b"))
    assert await unread(server) == [1]
    await take(server, job, 0)
    with pytest.raises(values.RunValueTooLarge):
        await answer(server, job, asked.id, "yes", values=sets("x" * 70_000, 1))
    assert await answer(server, job, asked.id, "yes")


async def test_answers_and_values_that_show_a_secret_are_refused(database_url: str):
    async with open_server(Work, database_url, master_key="11" * 32) as server:
        await server.call(secrets.set_, name="KEY", value="sk_live_1234")
        await server.a_function("chat", on=None, secrets=["KEY"])
        await server.a_worker(function_ids=["chat"])
        asked = await server.call(contract.ask, run_id="chat:ada", name="prompt", data=1, start=True)
        job = await server.claim()

        with pytest.raises(values.InvalidRunValue, match="contains a secret"):
            await take(server, job, 0, values=sets("is sk_live_1234", 1))
        await take(server, job, 0)
        with pytest.raises(contract.InvalidRunMessage, match="contains a secret"):
            await answer(server, job, asked.id, {"key": "sk_live_1234"})
        with pytest.raises(values.InvalidRunValue, match="contains a secret"):
            await answer(server, job, asked.id, "fine", values=sets("sk_live_1234", 1))

        assert await answer(server, job, asked.id, "fine")


async def test_a_run_that_waits_is_woken_by_its_message_alone(server: Work):
    await a_chat(server)
    await send(server, 0, start=True)
    job = await server.claim()
    assert await take(server, job, 0) == 0
    await server.report(job, "yielded", yielded=receives(job, number=1))
    await send(server, "other", name="other")
    assert await server.poll() == []

    await send(server, 1)
    await send(server, 2)

    again = await server.claim()
    assert memo(again) == [0, 1]
    assert await unread(server) == ["other", 2]


async def test_a_wait_that_is_reported_takes_what_came_before_it(server: Work):
    await a_chat(server)
    await send(server, 0, start=True)
    job = await server.claim()
    await send(server, 1)

    await server.report(job, "yielded", yielded=receives(job))

    assert memo(await server.claim()) == [0]
    assert await unread(server) == [1]


async def test_a_report_that_lost_its_lease_takes_nothing(server: Work):
    await a_chat(server)
    await send(server, 0, start=True)
    job = await server.claim()
    server.move(90_001)
    await server.loop("leases")
    await server.claim()

    with pytest.raises(StaleExecution):
        await server.report(job, "yielded", yielded=receives(job))

    assert await unread(server) == [0]


async def test_a_repeated_report_takes_one_message(server: Work):
    await a_chat(server)
    for number in range(2):
        await send(server, number, start=True)
    job = await server.claim()

    await server.report(job, "yielded", yielded=receives(job))
    await server.report(job, "yielded", yielded=receives(job))

    assert await unread(server) == [1]


async def test_a_receive_times_out(server: Work):
    await a_chat(server)
    await send(server, "x", name="other", start=True)
    job = await server.claim()
    await server.report(job, "yielded", yielded={**receives(job, timeout="1h"), "on_timeout": "answer"})
    server.move(3_600_001)
    await server.loops()

    again = await server.claim()

    assert [step.status for step in again.completed_steps] == ["timed_out"]
    await send(server, "late")
    assert await unread(server) == ["x", "late"]


@pytest.mark.parametrize("in_place", [False, True])
async def test_a_receive_that_was_cancelled_takes_what_came_before_it_waits_anew(server: Work, in_place: bool):
    await a_chat(server)
    run_id = (await send(server, 0, name="other", start=True)).run_id
    job = await server.claim()
    await server.report(job, "yielded", yields=[receives(job), receives(job, "late")])
    await send(server, 1, name="late")
    job = await server.claim()
    await server.report(job, "failed", error={"message": "no", "code": "NO", "retryable": False})
    await server.call(controls.resume, run_id=run_id)
    await send(server, 2)
    job = await server.claim()

    if in_place:
        assert await take(server, job) == 2
    else:
        await server.report(job, "yielded", yielded=receives(job))
        assert memo(await server.claim()) == [2]
    assert await unread(server) == [0]


async def test_a_held_take_is_answered_by_the_message(server: Work):
    await a_chat(server)
    await send(server, name="other", start=True)
    job = await server.claim()

    taking = asyncio.create_task(take(server, job, wait_ms=30_000))
    await asyncio.sleep(0)
    await send(server, "now")

    assert await taking == "now"


async def test_a_held_take_does_not_end_before_the_message_was_sent(server: Work):
    """The time of the step is that of `ctx.now()` behind the receive."""
    await a_chat(server)
    sent = await send(server, name="other", start=True)
    job = await server.claim()
    began = server.clock.now()

    request = {"job": job.job_id, "execution_seq": job.execution_seq, "lease_token": job.lease_token}
    step = {"step_id": f"{job.run_id}:prompt:0", "step_name": "prompt", "name": "prompt"}
    taking = asyncio.create_task(server.call(contract.take, worker="w1", **request, **step, wait_ms=30_000))
    await asyncio.sleep(0)
    server.move(700)
    await send(server, "now")

    taken = await taking
    assert taken.ended_at is not None
    assert to_millis(taken.ended_at) == began + 700
    listed = await server.call(contract.list_, run_id=sent.run_id)
    assert [to_millis(each.taken_at) for each in listed.messages if each.taken_at] == [began + 700]


async def test_the_same_idempotency_key_sends_once(server: Work):
    await a_chat(server)

    first = await send(server, 1, start=True, idempotency_key="k1")
    again = await send(server, 1, start=True, idempotency_key="k1")

    assert (again.id, again.duplicate) == (first.id, True)
    assert await unread(server) == [1]


async def test_many_senders_with_start_make_one_run_and_lose_nothing(server: Work):
    await a_chat(server)

    sent = await asyncio.gather(*(send(server, number, start=True) for number in range(20)))

    assert len({each.run_id for each in sent}) == 1
    assert sorted(await unread(server)) == list(range(20))
    assert [each.started for each in sent].count(True) == 1


@pytest.mark.parametrize("start", [False, True])
async def test_sends_with_one_idempotency_key_at_the_same_time_are_one(server: Work, start: bool):
    await a_chat(server)
    if not start:
        await send(server, 0, name="other", start=True)

    sent = await asyncio.gather(*(send(server, 1, start=start, idempotency_key="k1") for _ in range(20)))

    assert len({each.id for each in sent}) == 1
    assert [each.duplicate for each in sent].count(None) == 1
    assert (await unread(server)).count(1) == 1


async def test_sends_of_one_commit_end_a_wait_each_and_keep_their_order(server: Work):
    await a_chat(server)
    run_id = (await send(server, 0, name="other", start=True)).run_id
    job = await server.claim()
    await server.report(job, "yielded", yields=[receives(job), receives(job, number=1), receives(job, "late")])

    await asyncio.gather(*(send(server, number) for number in range(4)), send(server, 4, key="bob", start=True))

    assert memo(await server.claim()) == [0, 1]
    assert (await server.run(run_id)).status is RunStatus.RUNNING
    assert await unread(server) == [0, 2, 3]
    assert await unread(server, "bob") == [4]


async def test_a_refused_send_keeps_none_of_its_commit_back(database_url: str):
    async with open_server(Work, database_url, messages_unread_max=3) as server:
        await a_chat(server)
        await send(server, 0, start=True)

        sent = await asyncio.gather(
            *(send(server, number) for number in range(1, 5)), send(server, key="bob"), return_exceptions=True
        )

        assert [type(each) for each in sent] == [contract.Sent, contract.Sent, InboxFull, InboxFull, RunNotFound]
        assert await unread(server) == [0, 1, 2]


async def ask(server: Work, **more: Any) -> contract.Answer:
    return await server.call(contract.ask, run_id="chat:ada", name="prompt", data="?", **more)


async def test_an_answer_reaches_the_first_ask_and_a_repeated_one(server: Work):
    await a_chat(server)
    asking = asyncio.create_task(ask(server, start=True, idempotency_key="q1", wait_ms=30_000))
    accepted = await ask(server, start=True, idempotency_key="q1")
    # The other ask may have the run locked for a moment.
    (job,) = await server.poll(wait=5)
    assert (accepted.state, accepted.taken) == ("accepted", False)
    await take(server, job)
    assert (await ask(server, idempotency_key="q1")).taken

    assert await answer(server, job, accepted.id, {"n": 42})
    assert not await answer(server, job, accepted.id, "second", number=1)

    first, again = await asking, await ask(server, idempotency_key="q1")
    assert (first.state, first.id, again.id) == ("answered", accepted.id, accepted.id)
    assert [msgspec.json.decode(each.value or b"") for each in (first, again)] == [{"n": 42}, {"n": 42}]
    await server.report(job, "completed", output=1)
    # Also when the run has ended: nothing is asked or started again.
    assert (await ask(server, idempotency_key="q1", start=True)).value == first.value


async def test_refused_and_unanswered_are_distinct(server: Work):
    await a_chat(server)
    one = await ask(server, start=True, idempotency_key="q1")
    two = await ask(server, idempotency_key="q2")
    job = await server.claim()
    for number in range(2):
        await take(server, job, number)
    await answer(server, job, one.id, "too busy", refused=True)
    await server.report(job, "completed", output=1)

    refused, unanswered = await ask(server, idempotency_key="q1"), await ask(server, idempotency_key="q2")

    assert (refused.state, refused.reason) == ("refused", "too busy")
    assert (unanswered.state, unanswered.id) == ("unanswered", two.id)


async def test_an_answer_counts_once_over_executions(server: Work):
    await a_chat(server)
    asked = await ask(server, start=True)
    job = await server.claim()
    await take(server, job)
    await answer(server, job, asked.id, 1)
    server.move(90_001)
    await server.loop("leases")

    again = await server.claim()

    assert [step.name for step in again.completed_steps] == ["prompt", "reply:prompt"]
    with pytest.raises(StaleExecution):
        await answer(server, job, asked.id, 2, number=1)


async def test_an_inbox_has_a_limit(database_url: str):
    async with open_server(Work, database_url, messages_unread_max=3) as server:
        await a_chat(server)
        for number in range(3):
            await send(server, number, start=True)
        with pytest.raises(InboxFull):
            await send(server, 3)
        job = await server.claim()
        await take(server, job)

        await send(server, 3)


async def test_the_oldest_unread_message_is_found_among_the_unread_ones_alone(tmp_path: Path):
    """Those that a run has taken are kept for days: a look through them all holds every writer of SQLite back."""
    async with open_server(Work, str(tmp_path / "ironflow.db")) as server:
        plan = await server.db.read(lambda tx: tx.rows(f"EXPLAIN QUERY PLAN {store.OLDEST_UNREAD}", {"inbox": "run_1"}))

        (step,) = [row[3] for row in plan]
        assert step == "SEARCH messages USING INDEX messages_oldest_unread (inbox=? AND number>?)"


async def test_the_next_message_of_each_inbox_is_found_by_its_index(tmp_path: Path):
    """Whatever the runs have taken so far, and however many of them take in one commit."""
    async with open_server(Work, str(tmp_path / "ironflow.db")) as server:
        params = {"inboxes": ["run_1", "run_2"], "name": "prompt"}
        plan = await server.db.read(lambda tx: tx.rows(f"EXPLAIN QUERY PLAN {store.NEXT_OF_MANY}", params))

        steps = [row[3] for row in plan]
        assert "SEARCH n USING INDEX messages_unread (inbox=? AND name=?)" in steps
        assert [step for step in steps if step.startswith(("SEARCH m ", "SCAN m ")) and "(id=?)" not in step] == []


async def test_messages_are_purged_after_their_retention(database_url: str):
    async with open_server(Work, database_url, message_retention_days=1) as server:
        await a_chat(server)
        await send(server, 0, start=True)
        await send(server, 1)
        await take(server, await server.claim())
        ended = await server.call(contract.send, run_id="chat:bob", name="prompt", data=2, start=True)
        await server.call(runs.cancel, id=ended.run_id)
        server.move(2 * 24 * 3_600_000)
        await server.loops()

        found = (await server.call(contract.list_, run_id="chat:ada")).messages
        assert [msgspec.json.decode(each.data) for each in found] == [1]
        # Unread, but its run has ended.
        assert (await server.call(contract.list_, run_id=ended.run_id)).messages == []


async def test_a_paused_run_keeps_its_messages(server: Work):
    await a_chat(server)
    run_id = (await send(server, 0, start=True)).run_id
    await server.call(controls.pause, run_id=run_id)
    await send(server, 1)
    await server.call(controls.resume, run_id=run_id)
    job = await server.claim()

    assert [await take(server, job, number) for number in range(2)] == [0, 1]
    assert (await server.run(run_id)).status is RunStatus.RUNNING


async def test_a_pause_waits_for_bodies_that_run_beside_a_take_and_an_answer(server: Work):
    await a_chat(server)
    asked = await ask(server, start=True)
    run_id = (await send(server, 1)).run_id
    job = await server.claim()
    await server.call(controls.pause, run_id=run_id)

    assert await take(server, job, running=1) == "?"
    assert await answer(server, job, asked.id, 42, running=1)
    assert (await server.run(run_id)).status is RunStatus.RUNNING
    assert await take(server, job, 1) == 1

    assert (await server.run(run_id)).status is RunStatus.PAUSED


async def test_lists_go_on_from_a_cursor(server: Work):
    await a_chat(server)
    for number in range(3):
        await send(server, number, start=True)

    page = await server.call(contract.list_, run_id="chat:ada", limit=2)
    rest = await server.call(contract.list_, run_id="chat:ada", limit=2, cursor=page.next_cursor)

    assert [each.number for each in (*page.messages, *rest.messages)] == [1, 2, 3]
    assert rest.next_cursor is None


@pytest.mark.parametrize("fields", [{"name": "a b"}, {"name": ""}, {"name": "x" * 129}])
async def test_names_that_are_refused(server: Work, fields: dict[str, str]):
    await a_chat(server)
    with pytest.raises(InvalidRunMessage):
        await send(server, start=True, **fields)
    with pytest.raises(InvalidRunMessage, match="function:key"):
        await server.call(contract.send, run_id="run_1", name="x", start=True)


async def test_a_receive_takes_as_many_statements_whatever_was_received_before(
    server: Work, monkeypatch: pytest.MonkeyPatch
):
    await a_chat(server)
    for number in range(40):
        await send(server, number, start=True)
    job = await server.claim()
    counts: list[int] = []
    inner = Taker._take

    def counted(self: Taker, tx: Any, *args: Any) -> Any:
        statements = Counting(tx)
        try:
            return inner(self, statements, *args)  # pyright: ignore[reportArgumentType]
        finally:
            counts.append(statements.count)

    monkeypatch.setattr(Taker, "_take", counted)
    for number in range(40):
        assert await take(server, job, number) == number

    assert set(counts[1:]) == {counts[1]}


async def test_takes_of_one_commit_get_messages_each_of_its_own_and_a_late_one_is_refused_alone(server: Work):
    await a_chat(server)
    for key in ("ada", "bob"):
        for number in range(3):
            await send(server, f"{key} {number}", key=key, start=True)
    ada, bob = sorted([await server.claim(), await server.claim()], key=lambda job: job.run_id)
    late = msgspec.structs.replace(bob, lease_token="another")

    found = await asyncio.gather(
        *(take(server, job, number) for number in range(2) for job in (ada, bob)),
        take(server, late, 2),
        take(server, ada, 0),
        return_exceptions=True,
    )

    assert {found[0], found[2]} == {"ada 0", "ada 1"}
    assert {found[1], found[3]} == {"bob 0", "bob 1"}
    assert isinstance(found[4], StaleExecution)
    # The same step gets the same message.
    assert found[5] == found[0]
    assert [await take(server, job, 2) for job in (ada, bob)] == ["ada 2", "bob 2"]


class Counting:
    """A transaction that counts its statements."""

    def __init__(self, tx: Any) -> None:
        self._tx = tx
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        self.count += name in ("rows", "row", "run", "many")
        return getattr(self._tx, name)


async def test_a_sender_that_starts_runs_must_be_allowed_to(server: Work, monkeypatch: pytest.MonkeyPatch):
    await a_chat(server)

    def refuse(call: Any, scope: str, request: Any = None) -> None:
        if scope == "functions:invoke":
            raise PermissionDenied(scope)

    monkeypatch.setattr(server.dispatch, "authorise", refuse)

    with pytest.raises(PermissionDenied):
        await send(server, start=True)
    with pytest.raises(RunNotFound):
        await send(server)


async def test_messages_are_redacted_with_the_step_that_took_them_and_with_their_run(server: Work):
    async def payloads() -> list[str]:
        sql = "SELECT data, answer FROM messages ORDER BY number"
        return [text for row in await server.db.read(lambda tx: tx.rows(sql)) for text in row]

    await a_chat(server)
    for card in range(2):
        await server.call(contract.ask, run_id="chat:ada", name="prompt", data={"card": card}, start=True)
    job = await server.claim()
    run_id = job.run_id
    found = await server.call(contract.list_, run_id=run_id)
    for number, message in enumerate(found.messages):
        await take(server, job, number)
        await answer(server, job, message.id, {"card": number}, number=number)
    await server.report(job, "completed")

    await server.call(redaction.redact_step, id=f"{run_id}:prompt:0")
    assert ["$redacted" in text for text in await payloads()] == [True, True, False, False]
    await server.call(redaction.redact_run, id=run_id)
    assert ["$redacted" in text for text in await payloads()] == [True] * 4


async def test_an_answer_has_a_size_limit_of_its_own(database_url: str):
    async with open_server(Work, database_url, output_bytes_max=1_000, event_bytes_max=100) as server:
        await a_chat(server)
        asked = await server.call(contract.ask, run_id="chat:ada", name="prompt", data=1, start=True)
        job = await server.claim()
        await take(server, job)

        with pytest.raises(MessageTooLarge, match="The answer is 1001 bytes; this server accepts 1000"):
            await answer(server, job, asked.id, "x" * 999)
        assert await answer(server, job, asked.id, "x" * 998)


async def test_a_page_of_large_messages_ends_early_and_goes_on(server: Work):
    await a_chat(server)
    await send(server, 0, start=True)
    large = "x" * 600_000
    for _ in range(20):
        await send(server, large)

    found, cursor = [], ""
    pages = 0
    while cursor is not None:
        page = await server.call(contract.list_, run_id="chat:ada", cursor=cursor, limit=1000)
        assert sum(len(bytes(each.data)) for each in page.messages) <= PAGE_BYTES + READ_AT_ONCE * 600_002
        found += [each.number for each in page.messages]
        cursor, pages = page.next_cursor, pages + 1
    assert (found, pages > 1) == ([*range(1, 22)], True)
    exact = await server.call(contract.list_, run_id="chat:ada", limit=21)
    assert len(exact.messages) < 21

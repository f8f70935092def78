"""A worker and a client with a codec: everything works, and the server has none of it in plain text."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from ironflow import Append, Codec, Context, Retry, SyncContext, current_step, function
from ironflow.projection import ProjectionRunner, create_projection
from ironflow.sdk.client.client import Client
from ironflow.sdk.durable import execution
from ironflow.sdk.durable.job.assignment import Assignment
from ironflow.sdk.values.codec import CannotDecode, CodecHidesData
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.sync import Client as SyncClient
from ironflow.testing import time_machine
from tests.crash.until import until
from tests.wire.server_process import a_server

# In no name and no id.
TEXT = "aardvark"


def flipped(text: bytes) -> bytes:
    return bytes(each ^ 0x5A for each in text)


CODEC = Codec(flipped, flipped)


@function("parent", retry=Retry(max_attempts=2, initial_delay="20ms"))
async def parent(ctx: Context, data: dict[str, Any]) -> Any:
    def body() -> str:
        step = current_step()
        step.heartbeat(f"{TEXT} progress")
        if step.attempt == 1:
            raise ConnectionError("away")
        return f"{step.details} {TEXT} step"

    step = await ctx.step.run("step", body)
    ctx.set("shown", f"{TEXT} value")
    child = await ctx.step.invoke("child", f"{TEXT} input", timeout="1m")
    (handle,) = await ctx.step.start_many("child", [f"{TEXT} started"])
    (joined,) = await ctx.step.join("all", [handle])
    await ctx.step.publish("done", f"{TEXT} message")
    await ctx.step.run("append", ctx.client.streams.append_many, [Append("e-1", "made", f"{TEXT} made", "thing")])
    waited = await ctx.step.wait_for_event("wait", event="went", timeout="1h")
    message = await ctx.step.receive("prompt", timeout="1h")
    await message.reply(f"{TEXT} reply")
    return [data["n"], step, child, joined, waited.data, message.data]


@function("child")
def child(ctx: SyncContext, data: str) -> str:
    return ctx.step.run("say", lambda: f"child of {data}")


GIVEN = {"n": f"{TEXT} event"}
OUTPUT = [
    f"{TEXT} event",
    f"{TEXT} progress {TEXT} step",
    f"child of {TEXT} input",
    f"child of {TEXT} started",
    f"{TEXT} went",
    f"{TEXT} prompt",
]


def texts(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.glob("ironflow.db*"))


async def check_read(client: Client, run_id: str) -> None:
    """What a client with the key reads."""
    run = await client.runs.get(run_id)
    assert (run.output, run.input) == (OUTPUT, GIVEN)
    steps = {step.name: step.output for step in await client.runs.steps(run_id)}
    assert steps["step"] == OUTPUT[1]
    assert (await client.runs.value(run_id, "shown")) == f"{TEXT} value"
    assert [event.data async for event in client.events.list(name="went")] == [f"{TEXT} went"]
    assert [event.data async for event in client.streams.read("e-1")] == [f"{TEXT} made"]


async def check_hidden(client: Client, run_id: str) -> None:
    """What a client without it reads: plain JSON."""
    run = await client.runs.get(run_id)
    for each in (run.output, run.input, (await client.runs.value(run_id, "shown"))):
        assert list(each) == ["$encoded"]
    assert [list(event.data) async for event in client.events.list(name="went")] == [["$encoded"]]


async def talk(client: Client) -> Any:
    """Emits and asks what the run waits for; the answer."""
    await client.emit("went", f"{TEXT} went")
    return await client.ask("parent", "one", "prompt", f"{TEXT} prompt", timeout="60s")


@pytest.mark.processes
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
async def test_a_run_works_as_without_and_the_database_has_none_of_its_text(
    tmp_path: Path, kind: Callable[..., Any]
) -> None:
    def seen(state: Any, event: Any) -> Any:
        return {"seen": [*state["seen"], event.data]}

    totals = create_projection(name="totals", events=["went"], initial_state={"seen": []}, handler=seen)
    with a_server(tmp_path) as server:
        async with (
            Client(server.address, codec=CODEC) as client,
            Client(server.address) as plain,
            kind([parent, child], projections=[totals], url=server.address, codec=CODEC),
        ):
            run_id = (await client.invoke("parent", GIVEN, key="one")).run_id
            answer = await talk(client)
            run = await client.runs.wait(run_id, timeout=60)
            assert (run.status, run.error, answer) == ("completed", None, f"{TEXT} reply")
            await check_read(client, run_id)
            await check_hidden(plain, run_id)

            async def folded() -> bool:
                return (await client.projections.get("totals")).state == {"seen": [f"{TEXT} went"]}

            await until(folded, "the projection has folded the event", within_s=30)
            assert list((await plain.projections.get("totals")).state) == ["$encoded"]
            async with client.subscribe("went", replay=1) as received:
                assert (await anext(received)).data == f"{TEXT} went"
    assert TEXT.encode() not in texts(tmp_path)
    assert b"$encoded" in texts(tmp_path)


async def test_so_it_is_in_the_time_machine() -> None:
    async with time_machine([parent, child], codec=CODEC) as machine:
        run = await machine.invoke("parent", GIVEN, key="one")
        await machine.advance("1s")
        await machine.client.emit("went", f"{TEXT} went")
        await machine.client.send("parent", "one", "prompt", f"{TEXT} prompt")
        await machine.settle()
        assert (run.status, run.output) == ("completed", OUTPUT)
        await check_read(machine.client, run.id)
        folder = Path(machine.database).parent
        assert TEXT.encode() not in texts(folder)
        assert b"$encoded" in texts(folder)


async def test_what_has_the_server_read_data_is_refused() -> None:
    @function("matching", on="go")
    async def matching(ctx: Context) -> Any:
        return await ctx.step.wait_for_event("wait", event="went", match="orderId", timeout="1h")

    async with time_machine([matching], codec=CODEC) as machine:
        run = await machine.emit("go", {"orderId": 1})
        assert run.status == "failed"
        assert run.error is not None
        assert run.error.code == "CODEC_HIDES_DATA"
        with pytest.raises(CodecHidesData, match="the filter of a subscription reads data"):
            machine.client.subscribe("went", filter="data.total > 1")
        with pytest.raises(CodecHidesData, match="the filter of group 'g'"):
            await machine.client.consumer_groups.create("g", "went", filter="data.total > 1")
        await machine.client.consumer_groups.create("g", "went")
        with pytest.raises(CodecHidesData, match="the filter of group 'g'"):
            await machine.client.consumer_groups.update("g", filter="data.total > 1")
        with pytest.raises(CodecHidesData, match=r"'payment\.make' is a handler of an entity"):
            await machine.client.entities.call("payment", "p-1", "make", {"amount": 1})
        with pytest.raises(CodecHidesData, match=r"'payment\.make' is a handler of an entity"):
            await machine.client.entities.send("payment", "p-1", "make", {"amount": 1})


@pytest.mark.processes
async def test_a_worker_without_the_key_fails_its_attempts_and_names_the_reason(tmp_path: Path) -> None:
    def refuse(text: bytes) -> bytes:
        raise ValueError("no such key")

    @function("reading", on="go", retry=Retry(max_attempts=2, initial_delay="20ms"))
    async def reading(ctx: Context, data: Any) -> Any:
        return data

    with a_server(tmp_path) as server:
        async with (
            Client(server.address, codec=CODEC) as client,
            Client(server.address) as plain,
            Worker([reading], url=server.address, codec=Codec(flipped, refuse)),
        ):
            (run_id,) = (await client.emit("go", GIVEN)).run_ids
            run = await plain.runs.wait(run_id, timeout=60)
    assert (run.status, run.attempt) == ("failed", 2)
    assert run.error is not None
    assert (run.error.code, "no such key" in run.error.message) == ("CANNOT_DECODE", True)


async def test_a_run_that_cannot_be_decoded_is_undone_by_a_worker_that_can() -> None:
    undone: list[str] = []
    lost = [0]

    def decode(text: bytes) -> bytes:
        if lost[0]:
            lost[0] -= 1
            raise ValueError("no such key")
        return flipped(text)

    @function("booking", on="go", retry=Retry(max_attempts=1))
    async def booking(ctx: Context) -> Any:
        await ctx.step.run("book", lambda: "booked")
        ctx.step.compensate("book", lambda: undone.append("book"))
        await ctx.step.sleep("rest", "1h")

    async with time_machine([booking], codec=Codec(flipped, decode)) as machine:
        run = await machine.emit("go", GIVEN)
        await machine.settle()
        lost[0] = 1
        await machine.advance("2h")
        await machine.settle()
        assert run.status == "failed"
        assert run.error is not None
        assert (run.error.code, undone) == ("CANNOT_DECODE", ["book"])


async def test_workers_without_the_key_leave_the_undoing_of_a_run_to_one_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    undone: list[str] = []
    lost = [0]
    decoded = execution._decoded

    def without_key(job: Assignment, codec: Codec) -> Any:
        """Workers alone have lost the key, not the client of the machine."""
        if not lost[0]:
            return decoded(job, codec)
        lost[0] -= 1
        return job, CannotDecode("The codec did not decode a payload: no such key.")

    monkeypatch.setattr(execution, "_decoded", without_key)

    @function("booking", on="go", retry=Retry(max_attempts=1, initial_delay="10s", backoff_factor=2))
    async def booking(ctx: Context) -> Any:
        await ctx.step.run("book", lambda: "booked")
        ctx.step.compensate("book", lambda: undone.append("book"))
        await ctx.step.sleep("rest", "1h")

    async with time_machine([booking], codec=CODEC) as machine:
        run = await machine.emit("go", GIVEN)
        await machine.settle()
        lost[0] = 3
        await machine.advance("1h")
        why = await machine.client.runs.why(run.id)
        assert (undone, why.reason) == ([], "retry")
        assert "Its compensations have not begun; they are tried again at" in why.message
        assert "the last execution could not begin: The codec did not decode a payload: no such key." in why.message
        await machine.advance("10s")
        assert "the last 2 executions could not begin" in (await machine.client.runs.why(run.id)).message
        await machine.advance("19s")
        assert undone == []
        await machine.advance("1s")
        assert (run.status, undone) == ("failed", ["book"])
        assert run.error is not None
        assert run.error.code == "CANNOT_DECODE"


@pytest.mark.processes
async def test_followed_states_of_a_projection_are_decoded(tmp_path: Path) -> None:
    def seen(state: Any, event: Any) -> Any:
        return {"seen": event.data}

    latest = create_projection(name="latest", events=["went"], initial_state={"seen": ""}, handler=seen)
    with a_server(tmp_path) as server:
        async with (
            Client(server.address, codec=CODEC) as client,
            ProjectionRunner(latest, url=server.address, codec=CODEC),
        ):
            await client.emit("went", f"{TEXT} 1")

            async def folded() -> bool:
                return (await client.projections.get("latest")).state == {"seen": f"{TEXT} 1"}

            await until(folded, "the projection has folded the event", within_s=30)
            async with aclosing(client.projections.subscribe("latest")) as states:
                async with asyncio.timeout(60):
                    assert (await anext(states)).state == {"seen": f"{TEXT} 1"}
                    await client.emit("went", f"{TEXT} 2")
                    assert (await anext(states)).state == {"seen": f"{TEXT} 2"}


async def test_a_run_that_restarts_goes_on_with_data_that_only_its_worker_reads() -> None:
    @function("chained", on="go")
    async def chained(ctx: Context, data: dict[str, Any]) -> Any:
        if data["rounds"]:
            return ctx.restart({"rounds": data["rounds"] - 1, "text": f"{data['text']} again"})
        return data["text"]

    async with time_machine([chained], codec=CODEC) as machine:
        run = await machine.emit("go", {"rounds": 2, "text": TEXT})
        await machine.settle()
        links = [each async for each in machine.client.runs.chain(run.id)]
        assert [each.input for each in links] == [
            {"rounds": 2, "text": TEXT},
            {"rounds": 1, "text": f"{TEXT} again"},
            {"rounds": 0, "text": f"{TEXT} again again"},
        ]
        assert (links[-1].status, links[-1].output) == ("completed", f"{TEXT} again again")
        assert TEXT.encode() not in texts(Path(machine.database).parent)


async def test_what_undoes_a_cancelled_run_and_the_branch_that_was_first_are_encoded() -> None:
    undone: list[Any] = []

    @function("booking", on="go", on_cancel="compensate")
    async def booking(ctx: Context, data: str) -> Any:
        async def first(step: Any) -> Any:
            return await step.run("quick", lambda: f"{TEXT} quick")

        async def second(step: Any) -> Any:
            return await step.wait_for_event("slow", event="never", timeout="1h")

        async def undo() -> str:
            undone.append(booked)
            return f"{TEXT} undone"

        booked = await ctx.step.parallel("race", [first, second], until="first_success")
        ctx.step.compensate("quick", undo)
        await ctx.step.wait_for_event("wait", event="went", timeout="1h")

    async with time_machine([booking], codec=CODEC) as machine:
        run = await machine.emit("go", TEXT)
        await machine.settle()
        await machine.client.runs.cancel(run.id)
        await machine.settle()
        assert (await machine.client.runs.get(run.id)).status == "cancelled"
        assert undone == [f"{TEXT} quick"]
        outputs = [step.output for step in await machine.client.runs.steps(run.id)]
        assert f"{TEXT} undone" in outputs
        assert TEXT.encode() not in texts(Path(machine.database).parent)


@pytest.mark.processes
async def test_a_member_of_a_group_settles_what_it_has_decoded_and_ends_where_it_cannot(tmp_path: Path) -> None:
    def refuse(text: bytes) -> bytes:
        raise ValueError("no such key")

    with a_server(tmp_path) as server:
        async with (
            Client(server.address, codec=CODEC) as client,
            Client(server.address, codec=Codec(flipped, refuse)) as other,
        ):
            await client.consumer_groups.create("g", "went", ack="manual")
            for n in range(2):
                await client.emit("went", f"{TEXT} {n}")
            async with other.consumer_groups.join("g") as events:
                with pytest.raises(CannotDecode, match="no such key"):
                    await anext(events)
            async with client.consumer_groups.join("g") as events:
                event = await anext(events)
                assert event.data.startswith(TEXT)
                assert await event.ack()
            with SyncClient(server.address, codec=CODEC) as blocking, blocking.consumer_groups.join("g") as rest:
                left = next(rest)
                assert left.data in {f"{TEXT} 0", f"{TEXT} 1"} - {event.data}
                assert left.ack()


@pytest.mark.processes
async def test_an_event_that_cannot_be_decoded_comes_again_until_it_is_skipped_or_decoded(tmp_path: Path) -> None:
    has_key = False

    def decode(text: bytes) -> bytes:
        if not has_key and b"2" not in flipped(text):
            raise ValueError("no such key")
        return flipped(text)

    with a_server(tmp_path) as server:
        async with (
            Client(server.address, codec=CODEC) as client,
            Client(server.address, codec=Codec(flipped, decode)) as other,
        ):
            sent = [await client.emit("went", f"{TEXT} {n}") for n in range(4)]
            async with other.subscribe("went", replay=4) as events:
                for _ in range(2):
                    with pytest.raises(CannotDecode, match=f"{sent[0].event_id}.*no such key"):
                        await anext(events)
                after = events.sequence
                skipped = events.skip_undecoded()
                assert skipped is not None
                assert (skipped.id, after) == (sent[0].event_id, skipped.sequence - 1)
                with pytest.raises(CannotDecode, match=sent[1].event_id):
                    await anext(events)
                has_key = True
                assert [(await anext(events)).data for _ in range(3)] == [f"{TEXT} {n}" for n in (1, 2, 3)]
                assert events.skip_undecoded() is None
            has_key = False
            # A program that starts again after the last that it had gets the event again.
            async with client.subscribe("went", after=after) as events:
                assert (await anext(events)).id == sent[0].event_id
        with (
            SyncClient(server.address, codec=Codec(flipped, decode)) as blocking,
            blocking.subscribe("went", replay=4) as plain,
        ):
            with pytest.raises(CannotDecode):
                next(plain)
            plain.skip_undecoded()
            with pytest.raises(CannotDecode, match=sent[1].event_id):
                next(plain)


async def test_plain_events_are_read_as_they_are() -> None:
    @function("reading", on="go")
    async def reading(ctx: Context, data: Any) -> Any:
        return data

    async with time_machine([reading], codec=CODEC) as machine:
        plain = Client("http://time-machine", transport=machine.client._calls.transport)
        (run_id,) = (await plain.emit("go", {"n": 1})).run_ids
        await machine.settle()
        assert (await machine.client.runs.get(run_id)).output == {"n": 1}
        batch = await machine.client.emit_batch([{"name": "other", "data": {"n": TEXT}}])
        hidden = await plain.events.get(batch[0].event_id)
        assert list(hidden.data) == ["$encoded"]

"""`client.send`, `client.ask` and `ctx.step.receive`, on the real engine."""

import asyncio

import pytest

from ironflow import AskPending, AskRefused, AskUnanswered, WaitTimeoutError, function
from ironflow.base.duration import duration_ms
from ironflow.base.time import FixedClock
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.report import WaitForEvent, Yielded
from ironflow.sdk.durable.steps.messages import CountedAnswer, TakenMessage
from ironflow.sdk.values.payload import Raw
from ironflow.testing import time_machine
from tests.sdk.durable.jobs import a_job


@function("chat")
async def chat(ctx):
    answers = []
    while True:
        msg = await ctx.step.receive("prompt", timeout="1h", on_timeout=None)
        if msg is None:
            return answers
        if msg.data == "leave":
            return answers
        if msg.data == "bad":
            await msg.reject("no such thing")
            continue
        answers.append(await ctx.step.run("think", lambda text=msg.data: text.upper()))
        await msg.reply(answers[-1])


class Counting:
    """An inbox with one message; keeps how many steps were unfinished at each request."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    async def take(self, job, step_id, step_name, name, running, within_ms):
        self.counts.append(running)
        text = b'{"id":"msg_1","name":"prompt","data":1,"timestamp":"2026-01-01T00:00:00Z","asked":true}'
        return TakenMessage(Raw(text))

    async def answer(self, job, step_id, step_name, message_id, refused, value, running):
        self.counts.append(running)
        return CountedAnswer(counted=True)


async def test_a_take_and_an_answer_count_the_unfinished_steps_beside_them():
    asked, ended = asyncio.Event(), asyncio.Event()
    recorded = asyncio.get_running_loop().create_future()

    def on_recorded(row):
        ended.set()
        return recorded

    @function("beside")
    async def beside(ctx):
        async def answers(step):
            await (await step.receive("prompt")).reply(1)
            asked.set()
            await recorded

        await ctx.step.parallel("both", [lambda s: s.run("body", asked.wait), answers])

    inbox = Counting()
    execution = Execution(beside, a_job(), inbox=inbox, on_recorded=on_recorded)
    running = asyncio.create_task(execution.run())
    await asyncio.wait_for(asked.wait(), 10)
    await asyncio.wait_for(ended.wait(), 10)

    assert inbox.counts == [1, 1]
    assert execution._runner.unfinished == 1
    recorded.set_result(None)
    await running
    assert execution._runner.unfinished == 0


class Empty:
    """An inbox without messages, in which a request takes 700 ms."""

    def __init__(self, clock: FixedClock) -> None:
        self.clock = clock
        self.within_ms: list[int] = []

    async def take(self, job, step_id, step_name, name, running, within_ms):
        self.clock.move(700)
        self.within_ms.append(within_ms)

    async def answer(self, job, step_id, step_name, message_id, refused, value, running):
        return CountedAnswer(counted=False)


@pytest.mark.parametrize(("timeout", "left"), [("1h", "3599300ms"), ("1s", "300ms"), ("100ms", "0ms")])
async def test_the_timeout_of_a_receive_counts_from_the_call(timeout, left):
    @function("waits")
    async def waits(ctx):
        await ctx.step.receive("prompt", timeout=timeout)

    clock = FixedClock()
    inbox = Empty(clock)
    outcome = await Execution(waits, a_job(), clock=clock, inbox=inbox).run()

    assert isinstance(outcome, Yielded)
    (wait,) = outcome.steps
    assert isinstance(wait, WaitForEvent)
    assert wait.event_filter.timeout == left
    # No request is held longer than the receive waits.
    assert inbox.within_ms == [duration_ms(timeout)]


@function("plain")
def plain(ctx):
    msg = ctx.step.receive("prompt")
    msg.reply(msg.data + 1)
    return msg.data


@function("strict")
async def strict(ctx):
    try:
        await ctx.step.receive("prompt", timeout="1h")
    except WaitTimeoutError:
        return "late"


async def test_a_run_receives_in_order_and_goes_on_over_waits():
    async with time_machine(functions=[chat]) as machine:
        for text in ("a", "b"):
            await machine.client.send("chat", "ada", "prompt", text, start=True)
        await machine.settle()
        await machine.client.send("chat", "ada", "prompt", "c")
        await machine.settle()
        await machine.advance("1h")

        (run,) = await machine.runs(chat)
        assert run.output == ["A", "B", "C"]


async def test_answers_refusals_and_ends_are_distinct():
    async with time_machine(functions=[chat]) as machine:
        client = machine.client

        async def ask(text, **more):
            asking = asyncio.create_task(client.ask("chat", "ada", "prompt", text, start=True, **more))
            while not asking.done():
                await machine.settle()
                await asyncio.sleep(0)
            return await asking

        assert await ask("hi", idempotency_key="q1") == "HI"
        assert await client.ask("chat", "ada", "prompt", "hi", idempotency_key="q1") == "HI"
        with pytest.raises(AskRefused, match="no such thing"):
            await ask("bad")
        with pytest.raises(AskUnanswered):
            await ask("leave")
        with pytest.raises(AskPending) as pending:
            await client.ask("chat", "bob", "prompt", "hi", timeout="1ms", start=True)
        assert pending.value.details["taken"] is False


@pytest.mark.parametrize("way", ["reply", "reject"])
async def test_an_answer_that_shows_a_secret_fails_the_run_and_is_not_kept(way):
    @function("keeper", secrets=["KEY"])
    async def keeper(ctx):
        msg = await ctx.step.receive("prompt")
        await getattr(msg, way)(f"it is {ctx.secrets.get('KEY')}")

    async with time_machine([keeper]) as machine:
        await machine.client.secrets.set("KEY", "sk_live_1234")
        sent = await machine.client.send("keeper", "ada", "prompt", 1, start=True)
        await machine.settle()

        run = await machine.client.runs.get(sent.run_id)
        assert run.error is not None
        assert run.error.code == "SECRET_IN_OUTPUT"


async def test_plain_handlers_receive_and_answer():
    async with time_machine(functions=[plain]) as machine:
        asking = asyncio.create_task(machine.client.ask("plain", "x", "prompt", 1, start=True))
        while not asking.done():
            await machine.settle()
            await asyncio.sleep(0)

        assert await asking == 2


async def test_a_receive_that_times_out_raises():
    async with time_machine(functions=[strict]) as machine:
        run = await machine.invoke(strict, key="x")
        await machine.advance("1h")

        assert run.output == "late"


async def test_a_pause_at_a_take_does_not_run_batched_steps_again():
    bodies: list[str] = []

    @function("inbox", checkpoint="batched")
    async def inbox(ctx):
        async def pause():
            bodies.append("pause")
            await machine.client.runs.pause(ctx.run.id)

        await ctx.step.run("one", lambda: bodies.append("one"))
        await ctx.step.run("pause", pause)
        return (await ctx.step.receive("go")).data

    async with time_machine(functions=[inbox]) as machine:
        await machine.client.send("inbox", "a", "go", 7, start=True)
        await machine.settle()
        run = await machine.client.runs.get("inbox", key="a")
        if run.status == "paused":
            await machine.client.runs.resume(run.id)
            await machine.settle()

        assert (await machine.client.runs.get(run.id)).output == 7
    assert bodies == ["one", "pause"]

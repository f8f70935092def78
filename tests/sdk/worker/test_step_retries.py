"""A step with a retry of its own: its attempts are counted by the server, and its run waits in between."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest import raises

from ironflow import (
    Concurrency,
    NonRetryableError,
    Retry,
    RetryAfterError,
    StepError,
    function,
)
from ironflow.base.errors import IronflowError, ValidationError
from ironflow.features.functions.contract import InvalidFunction
from ironflow.sdk.client.client import Client
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import TestClient, time_machine
from tests.wire.server_process import Server, a_server

FIVE = Retry(max_attempts=5, initial_delay="20ms", backoff_factor=1)
HOURS = Retry(max_attempts=4, initial_delay="1h", max_delay="1d")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class CardDeclined(IronflowError):
    """The card was declined."""

    code, retryable = "CARD_DECLINED", True


class Order:
    """A function that packs, and charges a card, which fails some times. error: what it fails with."""

    def __init__(self, failures: int, error: Exception | None = None, retry: Retry = FIVE) -> None:
        self.bodies: Counter[str] = Counter()
        self.failures, self.retry = failures, retry
        self.error = error or CardDeclined("declined")
        self.caught: StepError | None = None

    def pack(self) -> str:
        self.bodies["pack"] += 1
        return "packed"

    def charge(self) -> str:
        self.bodies["charge"] += 1
        if self.bodies["charge"] <= self.failures:
            raise self.error
        return "charged"

    async def handler(self, ctx: Any) -> list[Any]:
        packed = await ctx.step.run("pack", self.pack)
        try:
            return [packed, await ctx.step.run("charge", self.charge, retry=self.retry), ctx.run.attempt]
        except StepError as fault:
            self.caught = fault
            raise


def order_of(order: Order, name: str = "order", **settings: Any) -> FunctionDefinition:
    return function(name, **settings)(order.handler)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client(server.address) as client:
        yield client


CASES = pytest.mark.parametrize(
    ("failures", "error", "tries", "status"),
    [
        (0, None, 1, "completed"),
        (2, None, 3, "completed"),
        (9, None, 5, "failed"),
        (9, NonRetryableError("no such card"), 1, "failed"),
    ],
    ids=["at once", "third", "never", "final"],
)


def check(order: Order, tries: int, status: str, run: Any, steps: list[Any]) -> None:
    assert (run.status, run.attempt) == (status, 1)
    assert order.bodies == {"pack": 1, "charge": tries}
    charge = {step.name: step for step in steps}["charge"]
    assert (str(charge.status), charge.attempt) == (status, tries)
    if status == "completed":
        assert run.output == ["packed", "charged", 1]
        return
    fault = order.caught
    assert fault is not None
    assert (fault.message, run.error.message) == (str(order.error), str(order.error))
    assert fault.error_class == run.error.error_class == type(order.error).__name__
    if isinstance(order.error, CardDeclined):
        assert fault.code == run.error.code == "CARD_DECLINED"


@pytest.mark.processes
@CASES
@pytest.mark.parametrize("kind", [Worker, StreamingWorker], ids=["polling", "streaming"])
async def test_it_is_tried_again_by_its_own_retry(
    server: Server, client: Client, kind: Callable[..., Any], failures: int, error: Any, tries: int, status: str
) -> None:
    order = Order(failures, error)
    definition = order_of(order, f"order-{kind.__name__}-{failures}-{error is None}".lower())
    async with kind([definition], url=server.address):
        run_id = (await client.invoke(definition.id)).run_id
        run = await client.runs.wait(run_id, timeout=20)
        check(order, tries, status, run, await client.runs.steps(run_id))


@CASES
async def test_in_a_time_machine(failures: int, error: Any, tries: int, status: str) -> None:
    order = Order(failures, error)
    async with time_machine([order_of(order)]) as machine:
        run = await machine.invoke("order")
        await machine.advance("1s")
        check(order, tries, status, run, list(run.steps))


@CASES
async def test_in_a_test_client(failures: int, error: Any, tries: int, status: str) -> None:
    order = Order(failures, error)
    run = await TestClient(functions=[order_of(order)], strict=False).invoke("order")
    check(order, tries, status, run, run.steps)


async def test_between_attempts_the_run_waits_and_holds_no_slot() -> None:
    order, other = Order(2, retry=HOURS), Order(0)
    turns = [order.handler, other.handler]

    @function("order", concurrency=Concurrency(1), recording=True)
    async def in_turn(ctx):
        return await turns[0 if ctx.event.data["first"] else 1](ctx)

    async with time_machine([in_turn]) as machine:
        run = await machine.invoke("order", {"first": True})
        assert (run.state, run.reason, run.info.next_attempt_at) == ("waiting", "retry", NEW_YEAR + timedelta(hours=1))
        assert (await machine.invoke("order", {"first": False})).state == "completed"
        why = await machine.client.runs.why(run.id)
        step = run.step("charge")
        assert (str(step.status), step.stored_status, step.attempt, step.max_attempts) == ("retrying", "retrying", 1, 4)
        assert (
            why.message
            == "Attempt 1 of 4 of step 'charge' failed: declined. The next one starts at 2026-01-01T01:00:00Z."
        )
        await machine.advance("59m")
        assert order.bodies["charge"] == 1
        await machine.advance("1m")
        assert (order.bodies["charge"], run.state) == (2, "waiting")
        # The second pause is twice as long.
        await machine.advance("2h")
        assert run.output == ["packed", "charged", 1]

        step = run.step("charge")
        assert [(each.attempt, each.error.code) for each in step.attempts or ()] == [
            (1, "CARD_DECLINED"),
            (2, "CARD_DECLINED"),
        ]
        summaries = [each.summary async for each in machine.client.runs.timeline(run.id)]
        assert [each for each in summaries if "failed" in each] == [
            "'charge' attempt 1 of 4 failed: declined; the next one at 2026-01-01T01:00:00.000Z",
            "'charge' attempt 2 of 4 failed: declined; the next one at 2026-01-01T03:00:00.000Z",
        ]


async def test_a_delay_that_an_error_asks_for_is_kept_within_the_longest_delay() -> None:
    retry = Retry(max_attempts=3, initial_delay="1s", max_delay="10m")
    order = Order(2, RetryAfterError("busy", after="5m"), retry)
    async with time_machine([order_of(order)]) as machine:
        run = await machine.invoke("order")
        assert run.info.next_attempt_at == NEW_YEAR + timedelta(minutes=5)
        order.error = RetryAfterError("busy", after="5h")
        await machine.advance("5m")
        assert run.info.next_attempt_at == NEW_YEAR + timedelta(minutes=15)


@pytest.mark.parametrize(("error", "tries"), [(ConnectionError("x"), 3), (KeyError("x"), 1)])
async def test_only_errors_that_retry_on_names_are_tried_again(error: Exception, tries: int) -> None:
    order = Order(2, error, Retry(max_attempts=3, initial_delay="1s", retry_on=[ConnectionError, TimeoutError]))
    async with time_machine([order_of(order)]) as machine:
        run = await machine.invoke("order")
        await machine.advance("1m")
        assert (order.bodies["charge"], run.state) == (tries, "completed" if tries == 3 else "failed")


async def test_the_functions_default_holds_for_steps_that_name_none() -> None:
    bodies: Counter[str] = Counter()

    def flaky(name: str) -> str:
        bodies[name] += 1
        if bodies[name] < 3:
            raise ConnectionError(name)
        return name

    @function("many", step_retry=Retry(max_attempts=3, initial_delay="1m"), retry=Retry(max_attempts=1))
    async def many(ctx):
        own = await ctx.step.run("own", flaky, "own", retry={"max_attempts": 4, "initial_delay": "1s"})
        pair = await ctx.step.parallel("pair", [lambda s: s.run("a", flaky, "a"), lambda s: s.run("b", flaky, "b")])
        return [own, *pair, *await ctx.step.map("items", ["c", "d"], lambda item, s, i: s.run("item", flaky, item))]

    async with time_machine([many]) as machine:
        run = await machine.invoke("many")
        await machine.advance("1h")
        assert run.output == ["own", "a", "b", "c", "d"]
        assert bodies == dict.fromkeys(("own", "a", "b", "c", "d"), 3)
    run = await TestClient(functions=[many], strict=False).invoke("many")
    assert run.output == ["own", "a", "b", "c", "d"]


async def test_branches_rest_beside_each_other() -> None:
    bodies: Counter[str] = Counter()

    def flaky(name: str) -> str:
        bodies[name] += 1
        if bodies[name] < 2:
            raise ConnectionError(name)
        return name

    @function("pair")
    async def pair(ctx):
        async def slow(s):
            await s.sleep("nap", "3h")
            return await s.run("slow", flaky, "slow", retry=HOURS)

        return await ctx.step.parallel("pair", [lambda s: s.run("a", flaky, "a", retry=HOURS), slow])

    async with time_machine([pair]) as machine:
        run = await machine.invoke("pair")
        assert run.info.next_attempt_at == NEW_YEAR + timedelta(hours=1)
        await machine.advance("1h")
        assert (bodies["a"], run.step_output("a"), run.state) == (2, "a", "waiting")
        await machine.advance("3h")
        assert run.output == ["a", "slow"]
        assert run.info.ended_at == NEW_YEAR + timedelta(hours=4)


async def test_a_caught_step_error_is_the_same_in_every_replay() -> None:
    seen = []

    @function("caught")
    async def caught(ctx):
        try:
            await ctx.step.run("charge", Order(9).charge, retry=Retry(max_attempts=2, initial_delay="1s"))
        except StepError as fault:
            seen.append((fault.message, fault.code, fault.error_class, fault.retryable, fault.exhausted))
        await ctx.step.sleep("nap", "1h")
        return "went on"

    async with time_machine([caught]) as machine:
        run = await machine.invoke("caught")
        await machine.advance("2h")
        assert run.output == "went on"
        assert seen == [("declined", "CARD_DECLINED", "CardDeclined", False, True)] * 2


async def test_a_run_that_pauses_when_attempts_are_used_up_does_so_for_those_of_a_step_and_resumes_anew() -> None:
    order = Order(4, retry=Retry(max_attempts=2, initial_delay="1s"))
    async with time_machine([order_of(order, retry=Retry(on_exhausted="pause"))]) as machine:
        run = await machine.invoke("order")
        await machine.advance("1m")
        assert (run.state, run.reason, order.bodies["charge"]) == ("paused", "exhausted", 2)
        order.failures = 3
        await machine.client.runs.resume(run.id)
        await machine.advance("1m")
        assert (run.output, order.bodies["charge"]) == (["packed", "charged", 1], 4)


async def test_a_run_is_paused_resumed_and_cancelled_while_a_step_rests() -> None:
    order, other = Order(1, retry=HOURS), Order(1, retry=HOURS)
    async with time_machine([order_of(order), order_of(other, "other")]) as machine:
        run, ended = await machine.invoke("order"), await machine.invoke("other")
        await machine.client.runs.pause(run.id)
        await machine.client.runs.cancel(ended.id)
        await machine.advance("3h")
        assert (run.state, order.bodies["charge"], other.bodies["charge"]) == ("paused", 1, 1)
        await machine.client.runs.resume(run.id)
        await machine.settle()
        assert (run.output, run.attempt) == (["packed", "charged", 1], 1)
        assert ended.state == "cancelled"


async def test_a_failing_branch_ends_the_rest_of_another_and_a_resumed_run_tries_it_anew() -> None:
    bodies: Counter[str] = Counter()
    broken = [True]

    def flaky() -> str:
        bodies["flaky"] += 1
        if broken:
            raise ConnectionError("away")
        return "there"

    def bad() -> str:
        if broken:
            raise NonRetryableError("no")
        return "yes"

    @function("pair")
    async def pair(ctx):
        return await ctx.step.parallel("pair", [lambda s: s.run("a", flaky, retry=HOURS), lambda s: s.run("b", bad)])

    async with time_machine([pair]) as machine:
        run = await machine.invoke("pair")
        assert (run.state, str(run.error and run.error.message), run.step("a").stored_status) == (
            "failed",
            "no",
            "cancelled",
        )
        assert "away" in str(run.step("a").error)
        broken.clear()
        await machine.client.runs.resume(run.id)
        await machine.settle()
        assert (run.state, run.output) == ("completed", ["there", "yes"])


async def test_a_publish_rests_too() -> None:
    @function("publisher", step_retry=Retry(max_attempts=2, initial_delay="1m"))
    async def publisher(ctx):
        return (await ctx.step.publish("orders.done", {"id": 1}))["sequence"] > 0

    async with time_machine([publisher]) as machine:
        assert (await machine.invoke("publisher")).output is True


async def test_settings_of_a_run_are_refused_in_the_retry_of_a_step_and_those_of_a_step_in_that_of_a_run() -> None:
    with raises(InvalidFunction, match="on_exhausted is of a function's retry"):
        function("x", step_retry=Retry(on_exhausted="pause"))
    with raises(InvalidFunction, match="retry_on is of a step's retry"):
        function("x", retry=Retry(retry_on=[KeyError]))
    with raises(InvalidFunction, match="retry_on is 'KeyError'"):
        Retry(retry_on="KeyError")  # type: ignore[arg-type]

    @function("bad")
    async def bad(ctx):
        with raises(ValidationError, match="on_exhausted"):
            await ctx.step.run("x", lambda: 1, retry=Retry(on_exhausted="fail"))

    async with time_machine([bad]) as machine:
        assert (await machine.invoke("bad")).state == "completed"

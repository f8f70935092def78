"""The code, class and details of what a step raised are found wherever its failure is shown."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from ironflow import InvokeError, NonRetryableError, Retry, RunFailedError, StepError, function
from ironflow.cli.app import run_command
from ironflow.sdk.client.client import Client
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.worker import Worker
from ironflow.testing import TestClient, time_machine
from tests.wire.server_process import Server, a_server

pytestmark = pytest.mark.processes

Start = Callable[..., Any]
ONCE = Retry(max_attempts=1)
DETAILS = {"bank": "first", "reason": {"number": 51}}
TRAVELLED = ("CARD_DECLINED", "CardDeclined", DETAILS)


class CardDeclined(NonRetryableError):
    """The bank refused the card."""

    code = "CARD_DECLINED"


def decline() -> None:
    raise CardDeclined("no money left", details=DETAILS)


def parts(error: Any) -> tuple[str, str, Any]:
    return error.code, error.error_class, error.details


@function("charge-card", retry=ONCE)
async def charge(ctx: Any) -> None:
    await ctx.step.run("charge", decline)


@function("charge-in-handler", retry=ONCE)
async def charge_in_handler(ctx: Any) -> None:
    decline()


@function("checkout-card", on="cart.submitted", retry=ONCE)
async def checkout(ctx: Any) -> None:
    await ctx.step.invoke(charge)


@function("checkout-caught", retry=ONCE)
async def caught(ctx: Any) -> list[Any]:
    seen: list[Any] = []
    for call in (lambda: ctx.step.run("charge", decline), lambda: ctx.step.invoke(charge_in_handler)):
        try:
            await call()
        except (StepError, InvokeError) as error:
            seen.append([type(error).__name__, *parts(error)])
    # What is replayed is the same.
    await ctx.step.sleep("rest", "10ms")
    return seen


@function("plain-bug", retry=ONCE)
async def plain_bug(ctx: Any) -> str:
    try:
        await ctx.step.run("divide", lambda: 1 // 0)
    except StepError as error:
        return " ".join(map(str, parts(error)))
    return ""


FUNCTIONS = (charge, charge_in_handler, checkout, caught, plain_bug)
CAUGHT = [["StepError", *TRAVELLED], ["InvokeError", *TRAVELLED]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=[(Worker, False), (StreamingWorker, False), (Worker, True), (StreamingWorker, True)], ids=str)
async def client(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Client]:
    """A client of a server with a worker of each kind, also of the plain protocol."""
    kind, plain = request.param
    async with kind(list(FUNCTIONS), url=server.address, plain_protocol=plain), Client(server.address) as client:
        yield client


async def test_a_failure_travels_through_steps_runs_and_invokes(client: Client) -> None:
    run_id = (await client.invoke(checkout.id)).run_id
    run = await client.runs.wait(run_id, timeout=20)
    (step,) = await client.runs.steps(run_id)
    child = await client.runs.get(step.child_run_id or "")
    (charged,) = await client.runs.steps(child.id)

    errors = [each.error for each in (charged, child, step, run) if each.error is not None]
    assert [(each.code, each.details) for each in errors] == [("CARD_DECLINED", DETAILS)] * 4


async def test_a_handler_sees_it_in_every_execution(client: Client) -> None:
    output = await client.invoke_sync(caught.id, timeout=20)

    assert [[kind, code, details] for kind, code, _, details in output] == [
        ["StepError", "CARD_DECLINED", DETAILS],
        ["InvokeError", "CARD_DECLINED", DETAILS],
    ]


async def test_an_exception_without_a_code_has_that_of_its_step(client: Client) -> None:
    assert (await client.invoke_sync(plain_bug.id, timeout=20)).startswith("STEP_FAILED ")


@pytest.fixture
async def ours(server: Server) -> AsyncIterator[Client]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Worker(list(FUNCTIONS), url=server.address))
        yield await stack.enter_async_context(Client(server.address))


async def test_callers_that_wait_get_code_class_and_details(ours: Client) -> None:
    with pytest.raises(RunFailedError, match="no money left") as raised:
        await ours.invoke_sync(checkout.id, timeout=20)
    assert parts(raised.value) == TRAVELLED
    with pytest.raises(RunFailedError, match="no money left") as raised:
        await ours.emit_sync("cart.submitted", timeout=20)
    assert parts(raised.value) == TRAVELLED

    assert await ours.invoke_sync(caught.id, timeout=20) == CAUGHT
    assert await ours.invoke_sync(plain_bug.id, timeout=20) == "STEP_FAILED ZeroDivisionError {}"


async def test_the_command_line_shows_them(ours: Client, server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    run_id = (await ours.invoke(checkout.id)).run_id
    await ours.runs.wait(run_id, timeout=20)

    assert run_command(["run", "get", run_id, "--json", "--url", server.address]) == 0
    shown = msgspec.json.decode(capfd.readouterr().out)
    assert run_command(["run", "get", run_id, "--url", server.address]) == 0
    text = " ".join(capfd.readouterr().out.split())

    error = shown.get("run", shown)["error"]
    assert (error["code"], error["error_class"], error["details"]) == TRAVELLED
    assert "CARD_DECLINED (CardDeclined)" in text


async def test_in_a_time_machine() -> None:
    async with time_machine(functions=list(FUNCTIONS)) as machine:
        run = await machine.invoke(caught)
        await machine.advance("1s")
        assert run.output == CAUGHT


async def test_in_a_test_client() -> None:
    run = await TestClient(functions=list(FUNCTIONS), strict=False).invoke(caught)
    assert run.output == CAUGHT

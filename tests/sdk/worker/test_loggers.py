"""`logger=`: where the lines of workers, runners, endpoints and handlers go."""

import logging
from collections import deque
from typing import Any

import msgspec
import pytest

from ironflow import Client, Context, function
from ironflow.base.errors import InvalidArgument
from ironflow.projection import ProjectionRunner, projection
from ironflow.sdk.user_code.logs import chosen_logger, logger_now, logging_to
from ironflow.serve import serve
from ironflow.worker import StreamingWorker, Worker
from tests.sdk.client.fake_transport import FakeAsyncTransport, answer
from tests.support.logs import Lines

SECRET = "hunter2-hunter2"


async def charging(ctx: Any) -> None:
    def body() -> None:
        ctx.logger.warning("in the step", extra={"amount": 5})

    ctx.logger.info("charging %s", "now")
    await ctx.step.run("charge", body)
    ctx.logger.error("with %s", ctx.secrets.get("KEY"))


async def run_once(server: Any, a_worker: Any, **settings: Any) -> dict[str, Any]:
    await a_worker(charging, **settings)
    job = await server.give(context={"secrets": {"KEY": SECRET}})
    return await server.final(job)


async def test_a_worker_and_its_handlers_write_to_its_logger(server, a_worker, caplog):
    lines = Lines()
    with caplog.at_level(logging.DEBUG, "ironflow"):
        final = await run_once(server, a_worker, logger=lines)

    assert final["status"] == "completed"
    run = f"run_id={final['run_id']}" if "run_id" in final else "run_id="
    texts = [text for _, text in lines]
    assert [level for level, text in lines if text.startswith(("charging now", "in the step", "with "))] == [
        "info",
        "warning",
        "error",
    ]
    assert any(text.startswith("in the step") and "amount=5" in text and run in text for text in texts)
    assert any(text.startswith("worker registered") for text in texts)
    assert SECRET not in "\n".join(texts)
    assert [record.name for record in caplog.records if record.name.startswith("ironflow")] == []


async def test_with_false_nothing_is_written(server, a_worker, caplog):
    with caplog.at_level(logging.DEBUG, "ironflow"):
        assert (await run_once(server, a_worker, logger=False))["status"] == "completed"

    assert [record.name for record in caplog.records if record.name.startswith("ironflow")] == []


async def test_a_logger_of_logging_gets_records_with_fields(server, a_worker, caplog):
    with caplog.at_level(logging.DEBUG, "shop"):
        await run_once(server, a_worker, logger=logging.getLogger("shop"))

    (step,) = [record for record in caplog.records if record.getMessage() == "in the step"]
    assert (step.name, vars(step)["amount"], vars(step)["function_id"]) == ("shop", 5, "f")
    assert SECRET not in caplog.text


async def test_two_workers_have_two_loggers(server, a_worker):
    first, second = Lines(), Lines()
    await a_worker(charging, logger=first, worker_id="w1")
    await a_worker(charging, logger=second, worker_id="w2")

    assert [text for _, text in first if text.startswith("worker registered")] == [
        "worker registered  worker_id=w1 functions=['f']"
    ]
    assert [text for _, text in second if text.startswith("worker registered")] == [
        "worker registered  worker_id=w2 functions=['f']"
    ]
    assert logger_now("ironflow.worker") is logging.getLogger("ironflow.worker")


async def test_an_endpoint_and_its_handlers_write_to_its_logger():
    lines = Lines()
    handler = serve([function("f")(charging)], skip_verification=True, logger=lines)
    request = {
        "run_id": "run_1",
        "function_id": "f",
        "attempt": 1,
        "event": {"id": "evt_1", "name": "a.b", "data": {}, "timestamp": "2026-01-01T00:00:00Z"},
        "steps": [],
        "secrets": {"KEY": SECRET},
    }
    response = await handler.handle("POST", "/api/ironflow", {}, msgspec.json.encode(request))
    await handler.close()

    assert response.status == 200
    assert [text.split("  ")[0] for _, text in lines][:2] == ["charging now", "in the step"]
    assert SECRET not in str(lines)


async def test_a_projection_s_runner_and_handler_write_to_its_logger():
    lines = Lines()

    @projection("totals", events=["order.*"], initial_state={})
    def totals(state: Any, event: Any, ctx: Any) -> Any:
        return state

    runner = ProjectionRunner(
        totals, transport=FakeAsyncTransport(deque([answer({"code": "INVALID_PROJECTION"}, 400)])), logger=lines
    )
    with pytest.raises(InvalidArgument):
        await runner.serve()
    with logging_to(chosen_logger(lines)):
        logger_now("ironflow.projection.totals").info("folding", extra={"seq": 7})

    assert lines[-1] == ("info", "folding  seq=7")


async def test_a_client_within_a_handler_writes_to_the_worker_s_logger():
    lines = Lines()
    with logging_to(chosen_logger(lines)):
        client = Client("http://x")
        client._calls.hooks.logger.warning("server away", extra={"url": "http://x"})

    assert lines == [("warning", "server away  url=http://x")]


@pytest.mark.parametrize("kind", [Worker, StreamingWorker])
def test_what_is_no_logger_is_refused(kind: Any):
    async def handler(ctx: Context) -> None:
        pass

    with pytest.raises(InvalidArgument, match="debug, info, warning and error"):
        kind([function("f")(handler)], logger=print)


def test_a_logger_that_fails_ends_nothing(capsys: pytest.CaptureFixture[str]):
    class Broken(Lines):
        def info(self, message: str) -> None:
            raise RuntimeError("mine")

    logger = chosen_logger(Broken())
    assert logger is not None
    logger.info("a line")

    assert "RuntimeError: mine" in capsys.readouterr().err


def test_a_line_that_does_not_fit_its_arguments_is_no_failure_of_its_caller(capsys: pytest.CaptureFixture[str]):
    lines = Lines()
    logger = chosen_logger(lines)
    assert logger is not None
    logger.info("%d orders", "seven")
    logger.info("next")

    assert lines == [("info", "next")]
    assert "%d orders" in capsys.readouterr().err

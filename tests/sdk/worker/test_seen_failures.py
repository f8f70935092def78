"""What a worker's log shows of runs, of functions that are refused, and of code that blocks."""

import logging
import subprocess
import sys
import threading

import pytest

from ironflow.base.errors import NonRetryableError
from ironflow.sdk.definition.function import function
from ironflow.sdk.worker.loop_watch import LoopWatch
from ironflow.sdk.worker.run_lines import raised_at


def lines(caplog, message):
    return [each for each in caplog.records if each.getMessage() == message]


@pytest.fixture(autouse=True)
def every_line(caplog):
    caplog.set_level(logging.INFO, "ironflow.worker")
    caplog.set_level(logging.INFO, "ironflow.runs")


async def test_a_run_has_a_line_when_it_starts_and_one_when_it_fails(server, a_worker, caplog):
    async def refuse(ctx):
        raise NonRetryableError("the door is shut")

    await a_worker(refuse)
    await server.final(await server.give())

    (failed,) = lines(caplog, "run failed")
    line = refuse.__code__.co_firstlineno + 1
    assert (failed.error, failed.raised_at) == ("NonRetryableError: the door is shut", f"{__file__}:{line}")
    assert len(lines(caplog, "run started")) == 1


async def test_a_failure_that_is_tried_again_is_one_of_an_attempt(server, a_worker, caplog):
    async def refuse(ctx):
        raise RuntimeError("try again")

    await a_worker(refuse)
    await server.final(await server.give(attempt=1, max_attempts=2))
    await server.final(await server.give(attempt=2, max_attempts=2))

    assert [line.attempt for line in lines(caplog, "attempt failed")] == ["1/2"]
    assert [line.attempt for line in lines(caplog, "run failed")] == ["2/2"]


async def test_a_step_that_is_never_awaited_is_named_once_for_each_function(server, a_worker, caplog):
    async def forgets(ctx):
        ctx.step.run("charge", lambda: 1)

    await a_worker(forgets)
    finals = [await server.final(await server.give()) for _ in range(2)]

    (warned,) = lines(caplog, "step never awaited")
    assert warned.function_id == "f"
    assert f"step 'charge' is called in {__file__}, line {forgets.__code__.co_firstlineno + 1}," in warned.error
    assert [each["status"] for each in finals] == ["completed", "completed"]


async def test_a_strict_worker_fails_a_run_with_a_step_that_is_never_awaited(server, a_worker, caplog):
    async def forgets(ctx):
        ctx.step.run("charge", lambda: 1)

    await a_worker(forgets, strict=True)
    final = await server.final(await server.give())

    assert final["status"] == "failed"
    assert "step 'charge' is called in" in lines(caplog, "run failed")[0].error


async def test_a_function_that_is_refused_is_named_once_and_the_others_run(server, a_worker, caplog):
    refusal = {"message": "bad CEL", "code": "invalid_argument", "reason": "INVALID_FUNCTION"}
    await server.script("register_function", (400, refusal))

    async def first(ctx):
        pass

    async def second(ctx):
        pass

    await a_worker(first, second)

    (refused,) = lines(caplog, "function not registered")
    assert (refused.function_id, refused.fault) == ("f", "bad CEL")
    assert refused.defined_at == f"{__file__}:{first.__code__.co_firstlineno}"
    assert server.of("register")[0].body["function_ids"] == ["f1"]


async def test_code_that_blocks_the_loop_is_named_once(caplog):
    from ironflow.sdk.user_code.call import call

    named = threading.Event()

    class Named(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            named.set()

    handler = Named()
    logging.getLogger("ironflow.worker").addHandler(handler)
    watch = LoopWatch(after_s=0.01)
    watch.start()

    async def blocks():
        named.wait(20)
        threading.Event().wait(0.05)

    try:
        await call(blocks)
        await call(blocks)
    finally:
        watch.stop()
        logging.getLogger("ironflow.worker").removeHandler(handler)

    (line,) = [each for each in caplog.records if "blocks the event loop" in each.getMessage()]
    assert line.in_function.endswith("blocks")
    assert line.code.startswith(__file__)


def test_the_place_of_a_failure_is_the_users_frame_of_the_exception_that_is_named():
    stack = (
        "Traceback (most recent call last):\n"
        '  File "/app/app.py", line 5, in charge\n    raise CardDeclined()\n'
        f'  File "{logging.__file__}", line 9, in helper\n    fail()\n'
        "app.CardDeclined: no\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):\n"
        '  File "/app/app.py", line 13, in bad\n    await step\n'
        "ironflow.base.errors.StepError: no\n"
    )

    assert raised_at(stack, "CardDeclined") == "/app/app.py:5"
    assert raised_at(stack, "StepError") == "/app/app.py:13"
    assert raised_at("", "StepError") == ""


PROGRAM = """
import logging
from ironflow.sdk.worker.worker import _log_by_environment
_log_by_environment()
logging.getLogger("ironflow.worker").info("hello")
logging.getLogger("ironflow.worker").warning("mind")
"""


def test_a_script_logs_by_the_environment():
    def stderr(level):
        environment = {"IRONFLOW_LOG_LEVEL": level}
        return subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True, text=True
        ).stderr

    assert "hello" in stderr("info")
    assert "hello" not in stderr("warn")
    assert "mind" in stderr("warn")


def test_the_place_of_a_definition_is_its_file_and_line():
    from ironflow.sdk.user_code.signature import defined_at

    @function("here")
    async def here(ctx):
        pass

    assert defined_at(here.handler).startswith(f"{__file__}:")

"""The streaming worker against a fake server of protocol/worker-stream.md, with and without batches."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from ironflow.base.errors import NonRetryableError, Unimplemented, WorkerAuthError
from ironflow.sdk.definition.function import FunctionDefinition, function
from ironflow.sdk.wire.transport import AiohttpTransport
from ironflow.worker import StreamingWorker
from tests.sdk.worker.conftest import QUICK
from tests.sdk.worker.fake_server import FakeServer, until
from tests.sdk.worker.fake_stream import FakeStream, FakeStreams, Script

BOTH = pytest.mark.parametrize("batches", [True, False], ids=["batches", "plain"])
EVENT = {"id": "evt_1", "name": "e", "version": 1, "timestamp": "2026-01-01T00:00:00Z"}

StartWorker = Callable[..., Any]


@pytest.fixture
async def a_worker(server: FakeServer) -> AsyncIterator[StartWorker]:
    """Starts a worker whose streams end at the scripts; it is stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(*scripts: Script, handlers: tuple[Any, ...], **settings: Any) -> StreamingWorker:
            streams = await stack.enter_async_context(FakeStreams(*scripts))
            definitions = [
                each if isinstance(each, FunctionDefinition) else function(f"f{place or ''}")(each)
                for place, each in enumerate(handlers)
            ]
            # Functions are registered over HTTP/1.1, which the streams' server does not send_frames.
            elsewhere = AiohttpTransport(server.url)
            # As of the polling worker: what these tests are about is the protocol.
            usual = {"url": streams.address, "timing": QUICK, "transport": elsewhere, "checkpoint": "batched"}
            worker = StreamingWorker(definitions, **usual | settings)
            stack.push_async_callback(worker.stop)
            await worker.start()
            return worker

        yield start


def job(number: int = 1, data: Any = None, **more: Any) -> dict[str, Any]:
    """A job as the protocol has it."""
    event = EVENT | ({"data": data} if isinstance(data, dict) else {"dataValue": data})
    return {
        "jobId": f"job_{number}",
        "runId": f"run_{number}",
        "functionId": "f",
        "attempt": 1,
        "event": event,
        "executionSeq": "1",
        "leaseToken": f"lt_{number}",
        "maxAttempts": 3,
        "onExhausted": "fail",
    } | more


def polled(number: int = 1, data: Any = None, **more: Any) -> dict[str, Any]:
    """The same job as a poll has it, which is what batches hold."""
    return {
        "job_id": f"job_{number}",
        "run_id": f"run_{number}",
        "function_id": "f",
        "attempt": 1,
        "event": EVENT | {"data": data},
        "completed_steps": [],
        "step_sequence_base": 0,
        "execution_seq": 1,
        "lease_token": f"lt_{number}",
        "max_attempts": 3,
        "on_exhausted": "fail",
    } | more


def gives(stream: FakeStream, batches: bool, number: int = 1, data: Any = None) -> None:
    if batches:
        stream.send_frame(jobs={"body": {"jobs": [polled(number, data)]}})
    else:
        stream.send_frame(job=job(number, data))


async def begins(stream: FakeStream, batches: bool) -> dict[str, Any]:
    """The step that the worker reports as started."""
    if not batches:
        frame = await stream.receive_until("stepStarted")
        return {"id": frame["stepId"], "name": frame["name"]}
    reports = await stream.receive_until("reports")
    (report,) = reports["body"]["reports"]
    assert (report["status"], report["steps"], report["running"]) == ("progress", [], 1)
    results = [{"job_id": report["job_id"], "status": "ok"}]
    stream.send_frame(verdicts={"number": reports["number"], "body": {"results": results}})
    (step,) = report["started"]
    return step


async def ends(stream: FakeStream, batches: bool, number: int = 1) -> dict[str, Any]:
    """How the job ends, in the form of a polled report; batches are answered."""
    while batches:
        reports = await stream.receive_until("reports")
        results = [{"job_id": each["job_id"], "status": "ok"} for each in reports["body"]["reports"]]
        stream.send_frame(verdicts={"number": reports["number"], "body": {"results": results}})
        for each in reports["body"]["reports"]:
            if each["job_id"] == f"job_{number}" and each["status"] != "progress":
                return each
    while True:
        frame = await stream.receive()
        if (done := frame.get("jobCompleted")) and done["jobId"] == f"job_{number}":
            return {"status": "completed", "output": done.get("output", done.get("outputValue"))}
        if (done := frame.get("jobFailed")) and done["jobId"] == f"job_{number}":
            return {"status": "failed", **done}


@BOTH
async def test_a_worker_registers_and_its_jobs_run(a_worker: StartWorker, batches: bool) -> None:
    received: dict[str, Any] = {}
    done = asyncio.Event()

    async def script(stream: FakeStream) -> None:
        received["headers"] = stream.headers
        received["register"] = await stream.accept(batches=batches)
        gives(stream, batches, data=21)
        received["end"] = await ends(stream, batches)
        done.set()

    async def double(ctx: Any, data: int) -> int:
        return await ctx.step.run("double", lambda: data * 2)

    await a_worker(script, handlers=(double,), worker_id="w1", max_concurrent_jobs=3, labels={"zone": "a"}, api_key="k")
    await asyncio.wait_for(done.wait(), 10)

    assert received["headers"][":path"] == "/ironflow.v1.WorkerService/Connect"
    assert received["headers"]["content-type"] == "application/connect+json"
    assert received["headers"]["authorization"] == "Bearer k"
    register = received["register"]
    assert (register["workerId"], register["functionIds"], register["maxConcurrentJobs"]) == ("w1", ["f"], 3)
    assert (register["labels"], register["batches"]) == ({"zone": "a"}, True)
    assert register["version"]["runtime"].startswith("python-")
    assert (received["end"]["status"], received["end"]["output"]) == ("completed", 42)


async def test_streams_of_one_worker_are_numbered_where_the_server_gives_back_lost_jobs(
    server: FakeServer, a_worker: StartWorker
) -> None:
    server.features = ["lost-answers"]
    registered: list[dict[str, Any]] = []
    done = asyncio.Event()

    async def broken(stream: FakeStream) -> None:
        registered.append(await stream.accept())
        stream.cut()

    async def lasting(stream: FakeStream) -> None:
        registered.append(await stream.accept())
        registered.append(await stream.receive_until("heartbeat"))
        done.set()

    async def handler(ctx: Any) -> None: ...

    await a_worker(broken, lasting, handlers=(handler,))
    await asyncio.wait_for(done.wait(), 10)

    first, second, heartbeat = registered
    assert (first["number"], second["number"]) == (1, 2)
    assert first["incarnation"] == second["incarnation"]
    assert heartbeat["jobs"] == []


async def test_a_plain_server_receives_every_step_and_the_outcome(a_worker: StartWorker) -> None:
    frames: list[dict[str, Any]] = []
    done = asyncio.Event()

    async def script(stream: FakeStream) -> None:
        await stream.accept(batches=False)
        stream.send_frame(job=job(data={"n": 1}))
        while not frames or "jobFailed" not in frames[-1]:
            frame = await stream.receive()
            if "heartbeat" not in frame:
                frames.append(frame)
        done.set()

    async def handler(ctx: Any) -> None:
        await ctx.step.run("book", lambda: {"booking": 1})
        ctx.step.compensate("book", lambda: "compensation")
        try:
            await ctx.step.run("pay", _broke)
        except Exception as error:
            raise NonRetryableError("no money") from error

    await a_worker(script, handlers=(handler,), plain_protocol=True)
    await asyncio.wait_for(done.wait(), 10)

    kinds = [next(iter(frame)) for frame in frames]
    assert kinds == ["jobAck", "stepStarted", "stepCompleted", "stepStarted", "stepFailed", "jobFailed"]
    bodies = [next(iter(frame.values())) for frame in frames]
    assert all((w["jobId"], w["executionSeq"], w["leaseToken"]) == ("job_1", "1", "lt_1") for w in bodies)
    assert bodies[0]["runId"] == "run_1"
    assert (bodies[1]["name"], bodies[1]["stepType"]) == ("book", "STEP_TYPE_INVOKE")
    assert (bodies[2]["stepId"], bodies[2]["output"]) == (bodies[1]["stepId"], {"booking": 1})
    assert bodies[4]["error"]["code"] == "STEP_FAILED"
    assert (bodies[5]["error"]["message"], bodies[5]["error"]["retryable"]) == ("no money", False)
    (compensation,) = bodies[5]["steps"]
    assert (compensation["name"], compensation["type"], compensation["compensationFor"]) == (
        "compensate:book",
        "compensate",
        "book",
    )
    assert (compensation["status"], compensation["outputValue"]) == ("completed", "compensation")


async def _broke() -> None:
    raise ValueError("no")


@pytest.mark.parametrize(
    ("leave", "fields"),
    [
        (lambda step: step.sleep("nap", "1h"), {"sleep"}),
        (lambda step: step.wait_for_event("ok", event="ok", match="id", match_value="7", timeout="1h"), {"waitEvent"}),
        (lambda step: step.invoke("g", {"a": 1}), {"invokeFunction"}),
        (lambda step: step.invoke_async("g", {"a": 1}), {"invokeFunctionAsync"}),
    ],
)
async def test_a_plain_server_receives_what_a_run_waits_for(
    a_worker: StartWorker, leave: Callable[[Any], Any], fields: set[str]
) -> None:
    yielded: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def script(stream: FakeStream) -> None:
        await stream.accept(batches=False)
        stream.send_frame(job=job())
        yielded.set_result(await stream.receive_until("stepYielded"))

    async def handler(ctx: Any) -> None:
        await leave(ctx.step)

    await a_worker(script, handlers=(handler,), plain_protocol=True)
    frame = await asyncio.wait_for(yielded, 10)

    assert fields < frame.keys()
    if "waitEvent" in frame:
        wait = frame["waitEvent"]
        assert (wait["eventName"], wait["matchExpression"], wait["matchValue"]) == ("ok", "id", "7")
    if "invokeFunction" in frame or "invokeFunctionAsync" in frame:
        invoked = frame.get("invokeFunction") or frame["invokeFunctionAsync"]
        assert invoked["functionId"] == "g"
        assert json.loads(base64.b64decode(invoked["inputJson"])) == {"a": 1}


async def test_the_memo_of_a_plain_server_is_read_to_the_letter(a_worker: StartWorker) -> None:
    seen: list[Any] = []
    done = asyncio.Event()
    exact = base64.b64encode(b'{"n": 12345678901234567890}').decode()
    steps = [
        {"stepId": "run_1:exact:0", "name": "exact", "output": {"n": 1.2345678901234567e19}, "outputJson": exact},
        {"stepId": "run_1:text:0", "name": "text", "outputValue": "t"},
        {"stepId": "run_1:nothing:0", "name": "nothing"},
    ]

    async def script(stream: FakeStream) -> None:
        await stream.accept(batches=False)
        stream.send_frame(job=job(data=[1], completedSteps=steps, context={"secrets": {"key": "s3"}}))
        await ends(stream, False)
        done.set()

    async def handler(ctx: Any, data: Any) -> None:
        seen.append((data, ctx.secrets.get("key")))
        seen.extend([await ctx.step.run(name, _broke) for name in ("exact", "text", "nothing")])

    await a_worker(script, handlers=(handler,), plain_protocol=True)
    await asyncio.wait_for(done.wait(), 10)

    assert seen == [([1], "s3"), {"n": 12345678901234567890}, "t", None]


@BOTH
async def test_a_longer_step_is_reported_before_it_ends(a_worker: StartWorker, batches: bool) -> None:
    go_on = asyncio.Event()
    started: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def script(stream: FakeStream) -> None:
        await stream.accept(batches=batches)
        gives(stream, batches)
        started.set_result(await begins(stream, batches))
        await ends(stream, batches)

    async def handler(ctx: Any) -> None:
        await ctx.step.run("long", go_on.wait)

    await a_worker(script, handlers=(handler,))
    step = await asyncio.wait_for(started, 10)
    go_on.set()

    assert (step["id"], step["name"]) == ("run_1:long:0", "long")


@BOTH
async def test_jobs_go_on_over_a_broken_stream_and_are_reported_on_the_next(
    a_worker: StartWorker, batches: bool
) -> None:
    go_on, ended = asyncio.Event(), asyncio.get_running_loop().create_future()
    ran: list[str] = []

    async def first(stream: FakeStream) -> None:
        await stream.accept(batches=batches)
        gives(stream, batches)
        await until(lambda: ran)
        stream.cut()

    async def second(stream: FakeStream) -> None:
        await stream.accept(batches=batches)
        beat = await stream.receive_until("heartbeat")
        # It reports at once the jobs that it holds, with fences.
        (held,) = beat["jobs"]
        assert (held["jobId"], held["runId"], held["executionSeq"], held["leaseToken"]) == (
            "job_1",
            "run_1",
            "1",
            "lt_1",
        )
        go_on.set()
        ended.set_result(await ends(stream, batches))

    async def handler(ctx: Any) -> str:
        await ctx.step.run("once", ran.append, "x")
        await go_on.wait()
        return "done"

    await a_worker(first, second, handlers=(handler,))
    end = await asyncio.wait_for(ended, 10)

    assert (end["status"], end["output"]) == ("completed", "done")
    assert ran == ["x"]


async def test_a_report_that_was_not_answered_is_sent_again_on_the_next_stream(a_worker: StartWorker) -> None:
    again: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def first(stream: FakeStream) -> None:
        await stream.accept()
        gives(stream, True)
        await stream.receive_until("reports")
        stream.cut()

    async def second(stream: FakeStream) -> None:
        await stream.accept()
        again.set_result(await ends(stream, True))

    async def handler(ctx: Any) -> str:
        return "done"

    worker = await a_worker(first, second, handlers=(handler,))
    end = await asyncio.wait_for(again, 10)

    assert (end["status"], end["output"]) == ("completed", "done")
    await until(lambda: worker.active_jobs == 0)


async def test_the_end_of_a_job_is_sent_to_a_plain_server_again_after_a_broken_stream(a_worker: StartWorker) -> None:
    again: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def first(stream: FakeStream) -> None:
        await stream.accept(batches=False)
        gives(stream, False)
        await ends(stream, False)
        stream.cut()

    async def second(stream: FakeStream) -> None:
        await stream.accept(batches=False)
        again.set_result(await stream.receive_until("jobCompleted"))

    async def handler(ctx: Any) -> str:
        return "done"

    await a_worker(first, second, handlers=(handler,))

    assert (await asyncio.wait_for(again, 10))["outputValue"] == "done"


async def test_a_job_that_is_another_s_is_dropped(a_worker: StartWorker) -> None:
    """By `cancel`, by a lease that is stale, by a verdict."""
    begun: list[int] = []
    stopped: list[int] = []

    async def script(stream: FakeStream) -> None:
        await stream.accept()
        stream.send_frame(jobs={"body": {"jobs": [polled(number, number) for number in (1, 2, 3)]}})
        await until(lambda: len(begun) == 3)
        stream.send_frame(cancel={"jobId": "job_1", "reason": "cancelled"})
        segments = [
            {"runId": "run_2", "executionSeq": "1", "state": "LEASE_STATE_STALE"},
            {"runId": "run_3", "executionSeq": "1", "state": "LEASE_STATE_REFRESHED"},
        ]
        stream.send_frame(leaseRefresh={"segments": segments})
        reports = await stream.receive_until("reports")
        refused = {"job_id": "job_3", "status": "refused", "error": "STALE_EXECUTION", "message": "another's"}
        stream.send_frame(verdicts={"number": reports["number"], "body": {"results": [refused]}})

    async def handler(ctx: Any, number: int) -> None:
        try:
            if number == 3:
                await ctx.step.run("one", lambda: 1)
            begun.append(number)
            await asyncio.Event().wait()
        finally:
            stopped.append(number)

    worker = await a_worker(script, handlers=(handler,), timing=replace(QUICK, checkpoint=0.01))
    await until(lambda: worker.active_jobs == 0)

    assert sorted(stopped) == [1, 2, 3]


async def test_a_full_worker_gives_a_plain_server_s_job_back(a_worker: StartWorker) -> None:
    nacked: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def script(stream: FakeStream) -> None:
        await stream.accept(batches=False)
        stream.send_frame(job=job(1))
        stream.send_frame(job=job(1))
        stream.send_frame(job=job(2))
        nacked.set_result(await stream.receive_until("jobNack"))

    async def handler(ctx: Any) -> None:
        await asyncio.Event().wait()

    worker = await a_worker(script, handlers=(handler,), max_concurrent_jobs=1)
    frame = await asyncio.wait_for(nacked, 10)

    assert (frame["jobId"], frame["runId"], frame["reason"]) == ("job_2", "run_2", "JOB_NACK_REASON_AT_CAPACITY")
    assert worker.active_jobs == 1


@BOTH
async def test_a_draining_worker_takes_no_more_finishes_its_jobs_and_closes(
    a_worker: StartWorker, batches: bool
) -> None:
    draining, go_on = asyncio.Event(), asyncio.Event()
    received: dict[str, Any] = {}

    async def script(stream: FakeStream) -> None:
        await stream.accept(batches=batches)
        gives(stream, batches, 1)
        await draining.wait()
        gives(stream, batches, 2)
        received["nack"] = await stream.receive_until("jobNack")
        go_on.set()
        received["end"] = await ends(stream, batches, 1)

    async def handler(ctx: Any) -> str:
        draining.set()
        await go_on.wait()
        return "finished"

    worker = await a_worker(script, handlers=(handler,))
    await until(lambda: worker.active_jobs == 1)
    ending = asyncio.ensure_future(worker.drain())
    draining.set()
    await asyncio.wait_for(ending, 10)

    assert received["nack"]["jobId"] == "job_2"
    assert received["nack"]["reason"] == "JOB_NACK_REASON_DRAINING"
    assert received["end"]["output"] == "finished"


async def test_when_the_server_stops_jobs_go_on_and_the_worker_joins_the_next(a_worker: StartWorker) -> None:
    go_on, ended = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def first(stream: FakeStream) -> None:
        await stream.accept()
        gives(stream, True)
        await begins(stream, True)
        stream.send_frame(shutdown={"reason": "the server stops", "drainTimeoutMs": 1})
        stream.ends()

    async def second(stream: FakeStream) -> None:
        await stream.accept()
        go_on.set()
        ended.set_result(await ends(stream, True))

    async def handler(ctx: Any) -> str:
        await ctx.step.run("long", go_on.wait)
        return "done"

    await a_worker(first, second, handlers=(handler,))

    assert (await asyncio.wait_for(ended, 10))["output"] == "done"


async def refused(stream: FakeStream) -> None:
    stream.refuses(401, {"code": "unauthenticated", "message": "who are you"})


async def refused_at_the_end(stream: FakeStream) -> None:
    stream.head()
    stream.ends({"code": "permission_denied", "message": "not you"})


@pytest.mark.parametrize("script", [refused, refused_at_the_end])
async def test_a_refused_key_ends_the_worker(a_worker: StartWorker, script: Script) -> None:
    async def handler(ctx: Any) -> None:
        pass

    with pytest.raises(WorkerAuthError):
        await a_worker(script, handlers=(handler,))


async def test_a_server_without_streams_is_named_as_such(a_worker: StartWorker) -> None:
    async def script(stream: FakeStream) -> None:
        stream.refuses(404, {"message": "no such path"})

    async def handler(ctx: Any) -> None:
        pass

    with pytest.raises(Unimplemented, match="Use a Worker, which polls"):
        await a_worker(script, handlers=(handler,))


async def test_a_server_that_falls_silent_is_left_for_the_next(a_worker: StartWorker) -> None:
    again = asyncio.Event()

    async def silent(stream: FakeStream) -> None:
        await stream.accept()
        # It reads nothing more, so it answers no ping.
        await again.wait()

    async def second(stream: FakeStream) -> None:
        await stream.accept()
        again.set()

    async def handler(ctx: Any) -> None:
        pass

    await a_worker(silent, second, handlers=(handler,), timing=replace(QUICK, heartbeat=0.05))

    await asyncio.wait_for(again.wait(), 10)


async def test_a_frame_of_tomorrow_and_a_job_that_cannot_be_read_stop_nothing(a_worker: StartWorker) -> None:
    ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def script(stream: FakeStream) -> None:
        await stream.accept()
        stream.send_frame(tomorrow={"x": 1})
        stream.send_frame(job={"jobId": "job_9"})
        stream.send_frame(jobs={"body": {"jobs": [{"job_id": "job_8"}, polled(1)]}})
        ended.set_result(await ends(stream, True))

    async def handler(ctx: Any) -> str:
        return "done"

    await a_worker(script, handlers=(handler,))

    assert (await asyncio.wait_for(ended, 10))["output"] == "done"

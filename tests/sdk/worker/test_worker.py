"""The polling worker against a fake server of protocol/worker-rest.md."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from ironflow.base.errors import ConnectionLost, InvalidArgument, Unavailable, WorkerAuthError
from ironflow.base.spelling import reader
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.jobs import contract as jobs_contract
from ironflow.sdk.definition.function import function
from ironflow.sdk.user_code.signature import code_hash
from ironflow.sdk.wire import current_run
from ironflow.sdk.wire.backoff import Backoff
from ironflow.sdk.worker.timing import WorkerTiming
from ironflow.sdk.worker.worker import Worker
from tests.sdk.worker.conftest import QUICK
from tests.sdk.worker.fake_server import STALE, until

BATCHES = ["acked-polls", "batch-reports"]


@pytest.fixture(params=["plain", "batches"])
def either(request, server):
    """The plain protocol, and ours."""
    server.features = BATCHES if request.param == "batches" else []
    return request.param


async def double(ctx, data):
    return await ctx.step.run("double", lambda: data * 2)


async def test_a_worker_registers_its_functions_and_then_itself(server, a_worker):
    @function("orders/process", on="order.*", timeout="5m", metadata={"team": "shop"})
    async def process(ctx):
        pass

    worker = await a_worker(process, worker_id="w 1", max_concurrent_jobs=3, labels={"zone": "a"}, api_key="k")

    assert [each.kind for each in server.received[:3]] == ["capabilities", "register_function", "register"]
    registered = server.of("register_function")[0].body
    assert registered["id"] == "orders/process"
    assert registered["triggers"] == [{"event": "order.*", "expression": "", "cron": "", "timezone": "", "overlap": ""}]
    assert registered["timeoutMs"] == 300_000
    assert registered["preferredMode"] == "EXECUTION_MODE_PULL"
    assert registered["metadata"] == {"team": "shop", "__ironflow_code_hash": code_hash(process.handler)}
    registration = server.of("register")[0]
    assert registration.headers["Authorization"] == "Bearer k"
    assert registration.headers["X-Ironflow-SDK"].startswith("python/")
    assert (registration.body["worker_id"], registration.body["function_ids"]) == ("w 1", ["orders/process"])
    assert (registration.body["max_concurrent_jobs"], registration.body["labels"]) == (3, {"zone": "a"})
    assert registration.body["version"]["runtime"].startswith("python-3.")
    assert worker.worker_id == "w 1"


async def test_a_job_is_acked_run_and_reported(server, a_worker):
    await a_worker(double)
    job = await server.give(data=21, step_sequence_base=4, execution_seq=7)

    final = await server.final(job)

    assert server.of("ack")[0].body == {"run_id": job["run_id"], "execution_seq": 7, "lease_token": job["lease_token"]}
    assert (final["status"], final["output"]) == ("completed", 42)
    assert (final["execution_seq"], final["lease_token"], final["step_offset"]) == (7, job["lease_token"], 4)
    (step,) = final["steps"]
    assert (step["id"], step["name"], step["type"]) == (f"{job['run_id']}:double:0", "double", "invoke")
    assert (step["status"], step["output"]) == ("completed", 42)
    assert step.keys() == {"id", "name", "type", "status", "started_at", "ended_at", "duration_ms", "output"}
    assert "job_id" not in final


async def test_with_acked_polls_there_is_no_ack(server, a_worker):
    server.features = BATCHES
    await a_worker(double)
    job = await server.give(data=21)

    final = await server.final(job)

    assert (final["status"], final["output"], final["job_id"]) == ("completed", 42, job["job_id"])
    assert server.of("ack") == []
    assert server.of("poll")[0].query == {"available": "10", "wait": "20", "acked": "true"}


async def test_with_plain_protocol_a_worker_uses_no_extension(server, a_worker):
    server.features = BATCHES
    await a_worker(double, plain_protocol=True)
    job = await server.give(data=1)
    await server.final(job)

    assert server.of("reports") == []
    assert len(server.of("ack")) == 1
    assert server.of("poll")[0].query == {"available": "10", "wait": "20"}


async def test_a_server_without_capabilities_gets_the_plain_protocol(server, a_worker):
    await server.script("capabilities", (404, {"error": "not found"}))
    await a_worker(double)
    job = await server.give(data=1)

    assert (await server.final(job))["status"] == "completed"


async def test_a_sleep_is_reported_as_a_yield_with_the_steps_before_it(server, a_worker, either):
    async def handler(ctx):
        await ctx.step.run("a", int)
        await ctx.step.sleep("nap", "1h")

    await a_worker(handler)
    job = await server.give()

    final = await server.final(job)

    assert final["status"] == "yielded"
    assert final["yield"].pop("until").endswith("Z")
    assert final["yield"] == {"type": "sleep", "step_id": f"{job['run_id']}:nap:0", "step_name": "nap"}
    assert [step["id"] for step in final["steps"]] == [f"{job['run_id']}:a:0"]
    assert "output" not in final
    assert "error" not in final


async def test_a_failure_is_reported_with_what_the_server_must_know(server, a_worker, either):
    async def handler(ctx):
        await ctx.step.run("a", {}.__getitem__, "missing")

    await a_worker(handler)
    job = await server.give()

    final = await server.final(job)

    error = final["error"]
    assert (final["status"], error["code"], error["retryable"]) == ("failed", "STEP_FAILED", True)
    assert error["message"] == "'missing'"
    assert final["steps"][0]["error"]["message"] == "'missing'"
    assert "output" not in final["steps"][0]


async def test_reports_conform_to_the_contract(server, a_worker):
    server.features = BATCHES

    async def handler(ctx, data):
        await ctx.step.run("a", int)
        if data:
            await ctx.step.sleep("nap", "1h")
        raise ValueError("no")

    await a_worker(handler)
    failing, sleeping = await server.give(), await server.give(data=1)
    await server.final(failing)
    await server.final(sleeping)

    read = reader(jobs_contract.UpdateJob).read
    failed, slept = (read(msgspec.json.encode(server.updates(job)[0])) for job in (failing, sleeping))
    assert (failed.job, failed.status, failed.error.code) == (failing["job_id"], "failed", "ERROR")
    assert (slept.yielded.type, slept.yielded.step_name) == ("sleep", "nap")
    assert slept.yielded.until is not None
    assert (slept.steps[0].name, slept.steps[0].status, bytes(slept.steps[0].output)) == ("a", "completed", b"0")
    assert slept.steps[0].started_at is not None


async def test_a_job_for_a_function_it_does_not_have_is_refused_without_an_ack(server, a_worker):
    await a_worker(double)
    job = await server.give("other")

    final = await server.final(job)

    assert (final["status"], final["error"]["code"]) == ("failed", "FUNCTION_NOT_FOUND")
    assert final["error"]["retryable"] is False
    assert server.of("ack") == []


async def test_data_of_the_wrong_shape_fails_the_run_for_good(server, a_worker, either):
    class Order(msgspec.Struct):
        amount: int

    async def handler(ctx, order: Order):
        return order.amount

    await a_worker(handler)
    job = await server.give(data={"amount": "seven"})

    final = await server.final(job)

    assert (final["error"]["code"], final["error"]["retryable"]) == ("VALIDATION_ERROR", False)
    assert "$.amount" in final["error"]["message"]


async def test_a_job_that_cannot_be_read_does_not_stop_the_others(server, a_worker):
    await a_worker(double)
    async with server._changed:
        server._jobs.append({"job_id": "broken"})
    job = await server.give(data=1)

    assert (await server.final(job))["output"] == 2


async def test_an_ack_that_is_refused_drops_the_job_unrun(server, a_worker):
    ran = []

    async def handler(ctx):
        ran.append(ctx.run.id)

    await a_worker(handler)
    await server.script("ack", STALE)
    stale, sound = await server.give(), await server.give()
    await server.final(sound)

    assert ran == [sound["run_id"]]
    assert server.updates(stale) == []


async def test_no_more_jobs_are_asked_for_than_there_are_slots(server, a_worker, either):
    release = asyncio.Event()

    async def handler(ctx):
        await release.wait()

    worker = await a_worker(handler, max_concurrent_jobs=2)
    jobs = [await server.give() for _ in range(3)]
    await server.until(lambda: worker.active_jobs == 2)
    release.set()
    for job in jobs:
        await server.final(job)

    assert all(int(each.query["available"]) <= 2 for each in server.of("poll"))


async def test_a_client_inside_a_handler_knows_its_run(server, a_worker):
    async def handler(ctx):
        return [current_run.run_id.get(), await ctx.step.run("a", current_run.run_id.get)]

    await a_worker(handler)
    job = await server.give()

    assert (await server.final(job))["output"] == [job["run_id"], job["run_id"]]


# Checkpoints.


async def test_finished_steps_are_checkpointed_while_the_handler_goes_on(server, a_worker, either):
    release = asyncio.Event()

    async def handler(ctx):
        await ctx.step.run("a", int)
        await ctx.step.run("wait", release.wait)

    await a_worker(handler, timing=replace(QUICK, checkpoint=0.01))
    job = await server.give(step_sequence_base=3)
    await server.until(lambda: server.updates(job))
    release.set()
    final = await server.final(job)

    (progress, *_) = server.updates(job)
    assert (progress["status"], progress["step_offset"]) == ("progress", 3)
    assert [step["name"] for step in progress["steps"]] == ["a"]
    # Only what the server has not acknowledged goes again.
    assert [step["name"] for step in final["steps"]] == ["wait"]
    assert final["step_offset"] == 4


async def test_steps_of_a_failed_checkpoint_go_again(server, a_worker, either):
    release = asyncio.Event()

    async def handler(ctx):
        await ctx.step.run("a", int)
        await ctx.step.run("wait", release.wait)

    kind = "reports" if either == "batches" else "update"
    await server.script(kind, *[(503, {"error": "later", "code": "unavailable"})] * 2)
    await a_worker(handler, timing=replace(QUICK, checkpoint=0.01))
    job = await server.give()
    await server.until(lambda: len(server.updates(job)) >= 3)
    release.set()
    final = await server.final(job)

    assert all([step["name"] for step in each["steps"]] == ["a"] for each in server.updates(job)[:3])
    assert [step["name"] for step in final["steps"]] == ["wait"]


async def test_a_checkpoint_carries_at_most_500_steps(server, a_worker):
    release = asyncio.Event()

    async def handler(ctx):
        for _ in range(1200):
            await ctx.step.run("a", _nothing)
        await ctx.step.run("wait", release.wait)

    await a_worker(handler, timing=replace(QUICK, checkpoint=0.001))
    job = await server.give()
    await server.until(lambda: sum(len(each["steps"]) for each in server.updates(job)) >= 1200)
    release.set()
    await server.final(job)

    sent = server.updates(job)
    assert max(len(each["steps"]) for each in sent) <= 500
    assert [each["step_offset"] for each in sent] == [
        sum(len(each["steps"]) for each in sent[:place]) for place in range(len(sent))
    ]


async def _nothing():
    return None


async def test_a_stale_checkpoint_cancels_the_handler_and_drops_the_job(server, a_worker, either):
    cancelled = asyncio.Event()

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def handler(ctx):
        await ctx.step.run("a", int)
        await ctx.step.run("hang", hang)

    worker = await a_worker(handler, timing=replace(QUICK, checkpoint=0.01))
    job = await server.give()
    await server.script(job["job_id"] if either == "batches" else "update", STALE)
    async with asyncio.timeout(5):
        await cancelled.wait()
    other = await server.give()
    await server.until(lambda: len(server.updates(other)) > 0)

    assert [each["status"] for each in server.updates(job)] == ["progress"]
    assert worker.active_jobs == 1


async def test_a_checkpoint_that_is_refused_is_the_last_one(server, a_worker):
    release = asyncio.Event()

    async def handler(ctx):
        await ctx.step.run("a", int)
        await ctx.step.run("b", release.wait)

    await server.script("update", (400, {"error": "no checkpoints here", "code": "invalid_argument"}))
    await a_worker(handler, timing=replace(QUICK, checkpoint=0.001))
    job = await server.give()
    await server.until(lambda: server.updates(job))
    release.set()
    final = await server.final(job)

    assert [each["status"] for each in server.updates(job)] == ["progress", "completed"]
    assert [step["name"] for step in final["steps"]] == ["a", "b"]


# Reports.


async def test_a_final_report_is_tried_again_while_the_server_is_ill(server, a_worker, either):
    kind = "reports" if either == "batches" else "update"
    await server.script(kind, *[(503, {"error": "later"})] * 4)
    worker = await a_worker(double)
    job = await server.give(data=1)
    await server.until(lambda: len(server.updates(job)) == 5)
    await _idle(worker)

    assert {each["output"] for each in server.updates(job)} == {2}


async def test_after_four_tries_a_report_is_given_up(server, a_worker):
    await server.script("update", *[(500, {"error": "ill"})] * 9)
    worker = await a_worker(double)
    job = await server.give(data=1)
    await server.until(lambda: len(server.updates(job)) == 5)
    await _idle(worker)

    assert len(server.updates(job)) == 5


async def test_a_stale_report_is_dropped(server, a_worker, either):
    worker = await a_worker(double)
    job = await server.give(data=1)
    await server.script(job["job_id"] if either == "batches" else "update", STALE)
    await server.final(job)
    await _idle(worker)

    assert len(server.updates(job)) == 1


async def test_a_report_the_server_will_not_take_fails_the_run_instead(server, a_worker, either):
    refusal = {"error": "OUTPUT_TOO_LARGE", "message": "the output is 5 MiB; this server accepts 4", "code": "x"}
    worker = await a_worker(double)
    job = await server.give(data=1)
    await server.script(job["job_id"] if either == "batches" else "update", (413, refusal))
    await server.until(lambda: len(server.updates(job)) == 2)
    await _idle(worker)

    second = server.updates(job)[1]
    assert (second["status"], second["error"]["code"]) == ("failed", "OUTPUT_TOO_LARGE")
    assert (second["error"]["message"], second["error"]["retryable"]) == (refusal["message"], False)


async def test_reports_that_gather_go_together(server, a_worker):
    server.features = BATCHES
    worker = await a_worker(double, max_concurrent_jobs=100)
    jobs = [await server.give(data=number) for number in range(60)]
    for job in jobs:
        await server.final(job)
    await _idle(worker)

    sizes = [len(each.body["reports"]) for each in server.of("reports")]
    # On a busy machine a step is reported as started, too.
    assert sum(sizes) >= 60
    assert len(sizes) < 60


async def test_a_bad_report_does_not_spoil_its_batch(server, a_worker):
    server.features = BATCHES
    await a_worker(double, max_concurrent_jobs=100)
    await server.script("reports", (400, {"error": "one of them is bad", "code": "invalid_argument"}))
    jobs = [await server.give(data=number) for number in range(5)]

    for job in jobs:
        await server.until(lambda job=job: server.of("update", job["job_id"]) or len(server.updates(job)) == 1)


# Registration, trouble and the end.


async def test_an_unknown_worker_registers_again_and_its_jobs_go_on(server, a_worker, either):
    release = asyncio.Event()

    async def handler(ctx):
        await release.wait()
        return "done"

    worker = await a_worker(handler)
    job = await server.give()
    await server.until(lambda: worker.active_jobs == 1 and len(server.of("poll")) >= 2)
    await server.script("poll", (404, {"error": "worker not found", "code": "not_found"}))
    await server.until(lambda: len(server.of("register")) == 2 and len(server.of("register_function")) == 2)
    release.set()

    assert (await server.final(job))["output"] == "done"


async def test_a_heartbeat_names_the_jobs_whose_leases_run(server, a_worker):
    release = asyncio.Event()

    async def handler(ctx):
        await release.wait()

    await a_worker(handler, worker_id="w1", timing=replace(QUICK, heartbeat=0.01))
    job = await server.give()
    await server.until(lambda: any(each.body["jobs"] for each in server.of("heartbeat")))
    release.set()
    await server.final(job)

    beat = next(each.body for each in server.of("heartbeat") if each.body["jobs"])
    assert (beat["worker_id"], beat["active_jobs"], beat["jobs"][0]["job_id"]) == ("w1", 1, job["job_id"])


LOST_ANSWERS = ["acked-polls", "batch-reports", "lost-answers"]


async def test_after_a_failed_poll_the_worker_lists_the_jobs_that_it_has(server, a_worker):
    server.features = LOST_ANSWERS
    release = asyncio.Event()

    async def handler(ctx):
        await release.wait()

    await a_worker(handler)
    held = await server.give()
    await server.until(lambda: len(server.of("poll")) == 2)
    assert server.of("heartbeat") == []
    await server.script("poll", (500, {"error": "ill"}))
    await server.until(lambda: len(server.of("poll")) == 3)
    release.set()
    await server.final(held)

    (beat,) = server.of("heartbeat")
    assert [each["job_id"] for each in beat.body["jobs"]] == [held["job_id"]]
    first, second, third = [each.query for each in server.of("poll")]
    assert (first["number"], second["number"], third["number"]) == ("1", "2", "3")
    assert beat.body["incarnation"] == first["incarnation"] == third["incarnation"]
    assert (beat.body["polls_before"], beat.body["answer_lost"]) == (3, True)


async def test_it_asks_for_no_more_jobs_before_it_could_list_those_that_it_has(server, a_worker):
    server.features = LOST_ANSWERS
    await a_worker(double)
    await server.until(lambda: server.polls_open)
    await server.script("heartbeat", (500, {"error": "ill"}))
    await server.script("poll", (500, {"error": "ill"}))
    await server.until(lambda: len(server.of("poll")) == 2)

    assert [each.kind for each in server.received[-4:]] == ["poll", "heartbeat", "heartbeat", "poll"]


async def test_a_server_that_gives_no_lost_jobs_back_is_not_sent_a_list_before_each_poll(server, a_worker):
    server.features = LOST_ANSWERS
    await a_worker(double)
    await server.until(lambda: server.polls_open)
    server.features = ["acked-polls", "batch-reports"]
    # Another server, an older one, stands where the first was.
    await server.script("poll", (404, {"error": "worker not found"}))
    await server.until(lambda: len(server.of("register")) == 2)
    for number in range(3):
        await server.final(await server.give(data=number))

    assert server.of("heartbeat") == []


async def test_a_drained_worker_lists_its_jobs_when_it_gave_up_its_poll(server, a_worker):
    server.features = LOST_ANSWERS
    worker = await a_worker(double)
    await server.until(lambda: server.polls_open)

    await worker.drain()

    (beat,) = server.of("heartbeat")
    assert (beat.body["jobs"], beat.body["polls_before"], beat.body["answer_lost"]) == ([], 2, True)


async def test_a_heartbeat_beside_a_poll_leaves_out_what_is_on_its_way(server, a_worker):
    server.features = LOST_ANSWERS
    await a_worker(double, timing=replace(QUICK, heartbeat=0.01))
    await server.final(await server.give(data=1))
    await server.until(lambda: len(server.of("poll")) == 2)
    before = len(server.of("heartbeat"))

    await server.until(lambda: len(server.of("heartbeat")) >= before + 2)

    beat = server.of("heartbeat")[-1].body
    assert (beat["polls_before"], beat["answer_lost"]) == (2, False)


async def test_a_heartbeat_of_an_unknown_worker_registers_again(server, a_worker):
    await server.script("heartbeat", (404, {"error": "worker not found"}))
    await a_worker(double, timing=replace(QUICK, heartbeat=0.01))
    await server.until(lambda: server.of("heartbeat"))
    await server.give(data=1)

    await server.until(lambda: len(server.of("register")) == 2)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("kind", ["register_function", "register", "poll", "heartbeat"])
async def test_a_refused_key_ends_the_worker(server, kind, status):
    await server.script(kind, (status, {"error": "this key is revoked", "code": "unauthenticated"}))
    worker = Worker([function("f")(double)], url=server.url, timing=replace(QUICK, heartbeat=0.01))

    with pytest.raises(WorkerAuthError, match="this key is revoked"):
        await asyncio.wait_for(worker.serve(), 5)


async def test_a_function_that_the_server_does_not_accept_ends_the_worker(server):
    refusal = {"message": "bad CEL", "code": "invalid_argument", "reason": "INVALID_FUNCTION"}
    await server.script("register_function", (400, refusal))

    with pytest.raises(InvalidFunction, match="bad CEL"):
        await Worker([function("f")(double)], url=server.url, timing=QUICK).start()


async def test_trouble_while_registering_is_waited_out(server, a_worker):
    await server.script("register", (503, {"error": "starting"}), (429, {"error": "slow down"}), (500, {}))
    await a_worker(double)

    assert len(server.of("register")) == 4


async def test_trouble_while_polling_is_waited_out(server, a_worker):
    await a_worker(double)
    await server.script("poll", *[(500, {"error": "ill"})] * 3)
    await server.until(lambda: len(server.of("poll")) >= 4)
    job = await server.give(data=1)

    assert (await server.final(job))["output"] == 2
    assert len(server.of("register")) == 1


async def test_an_empty_poll_that_was_not_held_is_followed_by_a_rest_and_another(server, a_worker):
    server.hold = False
    await a_worker(double)

    await server.until(lambda: len(server.of("poll")) >= 3)


def test_pauses_grow_to_a_bound_and_the_first_failure_of_a_row_is_warned_of():
    warned: list[object] = []
    backoff, ill, lost = Backoff(WorkerTiming().pauses(), warned.append), Unavailable(), ConnectionLost()

    assert [backoff.pause_s(ill) for _ in range(6)] == [5, 10, 20, 40, 60, 60]
    backoff.succeeded()
    assert [round(backoff.pause_s(lost), 3) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]
    backoff.succeeded()
    later = Unavailable(retry_after_s=17)
    assert backoff.pause_s(later) == 17
    assert warned == [ill, lost, later]


async def test_a_draining_worker_takes_no_more_and_finishes_what_it_has(server, a_worker, either):
    release = asyncio.Event()

    async def handler(ctx):
        await release.wait()
        return "done"

    worker = await a_worker(handler)
    job = await server.give()
    await server.until(lambda: worker.active_jobs == 1)
    draining = asyncio.create_task(worker.drain())
    await asyncio.wait([draining], timeout=0.05)
    assert not draining.done()
    late = await server.give()
    release.set()
    await draining

    assert (await server.final(job))["output"] == "done"
    assert server.updates(late) == []


async def test_a_handler_that_outlasts_the_drain_is_cancelled_and_its_steps_are_kept(server, a_worker, either):
    hanging = asyncio.Event()

    async def handler(ctx):
        await ctx.step.run("a", _nothing)
        hanging.set()
        await asyncio.Event().wait()

    worker = await a_worker(handler)
    job = await server.give()
    await hanging.wait()
    await worker.drain(timeout=0.01)

    (progress,) = server.updates(job)
    assert (progress["status"], [step["name"] for step in progress["steps"]]) == ("progress", ["a"])


async def test_a_stopped_worker_cancels_its_handlers_and_reports_nothing(server, a_worker):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(ctx):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    worker = await a_worker(handler)
    job = await server.give()
    await started.wait()
    await worker.stop()

    assert cancelled.is_set()
    assert worker.active_jobs == 0
    assert server.updates(job) == []


async def test_a_stopped_worker_sends_no_more_reports(server, a_worker):
    server.features = BATCHES
    await server.script("reports", *[(503, {"error": "later"})] * 99)
    worker = await a_worker(double, timing=replace(QUICK, final_retries=(60.0,)))
    await server.give(data=1)
    await server.until(lambda: server.of("reports"))

    async with asyncio.timeout(5):
        await worker.stop()
    assert len(server.of("reports")) == 1


async def test_a_worker_can_be_stopped_while_it_looks_for_its_server():
    worker = Worker([function("f")(double)], url="http://127.0.0.1:9", timing=QUICK)
    serving = asyncio.create_task(worker.serve())
    await asyncio.wait([serving], timeout=0.05)
    assert not serving.done()
    await worker.stop()

    await asyncio.wait_for(serving, 5)


@pytest.mark.parametrize(
    ("functions", "fault"),
    [
        ([], "at least one function"),
        ([double], "is no function"),
        ([function("f")(double), function("f")(double)], "two functions are called 'f'"),
    ],
    ids=["none", "a bare handler", "twice the same"],
)
def test_a_worker_refuses_functions_it_cannot_run(functions, fault):
    with pytest.raises(InvalidFunction, match=fault):
        Worker(functions)


def test_a_worker_has_at_least_one_slot():
    with pytest.raises(InvalidArgument, match="at least one"):
        Worker([function("f")(double)], max_concurrent_jobs=0)


async def _idle(worker):
    """Waits until the worker holds no job: a slot is free when its report is answered."""
    await until(lambda: worker.active_jobs == 0)

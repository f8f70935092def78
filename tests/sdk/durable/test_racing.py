"""`parallel(..., until="first_success")`: one branch gives the answer, the others are cancelled and undone."""

from typing import Any

import msgspec
import pytest

from ironflow import Context, NonRetryableError, SyncContext, function
from ironflow.base.errors import AllBranchesFailed, Unimplemented, ValidationError
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.report import Completed, Failed, StepFailure, Yielded
from ironflow.testing import time_machine
from tests.sdk.durable.jobs import a_job, an_execution, outputs

DECIDED = "r:couriers:0"


async def value(execution: Execution) -> Any:
    outcome = await execution.run()
    assert isinstance(outcome, Completed), outcome
    return msgspec.json.decode(outcome.output)


async def waits(execution: Execution) -> list[str]:
    outcome = await execution.run()
    assert isinstance(outcome, Yielded), outcome
    return [step.step_id for step in outcome.steps]


class Couriers:
    """Branch a, b and c each book, and register how that is undone; then a sleeps, b fails, c waits."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds
        self.bodies: list[str] = []

    def body(self, name: str) -> str:
        self.bodies.append(name)
        return name

    def fails(self) -> None:
        self.bodies.append("fails")
        raise NonRetryableError("no driver")

    async def branch(self, steps: Any, name: str, kind: str) -> str:
        await steps.run("book", self.body, name)
        steps.compensate("book", lambda: self.body(f"undo {name}"))
        match kind:
            case "sleeps":
                await steps.sleep("rest", "1h")
            case "waits":
                await steps.wait_for_event("answer", event="courier.answered")
            case "fails":
                await steps.run("drive", self.fails)
            case _:
                await steps.run("drive", self.body, f"{name} drives")
        return name

    async def handler(self, ctx: Any) -> str:
        names = "abc"[: len(self.kinds)]
        branches = [
            lambda steps, name=name, kind=kind: self.branch(steps, name, kind)
            for name, kind in zip(names, self.kinds, strict=True)
        ]
        return await ctx.step.parallel("couriers", branches, until="first_success")


def done(execution: Execution, **more: Any) -> dict[str, Any]:
    return {**outputs(execution), **more}


async def test_the_first_that_succeeds_gives_the_answer_and_what_others_did_is_undone() -> None:
    couriers = Couriers("sleeps", "drives", "waits")
    execution = an_execution(couriers.handler)

    assert await value(execution) == "b"

    assert sorted(couriers.bodies[:4]) == ["a", "b", "b drives", "c"]
    assert couriers.bodies[4:] == ["undo a", "undo c"]
    assert outputs(execution)[DECIDED] == {"first": 1, "undo": [0, 2]}
    undone = [(row.id, row.type, row.compensation_for) for row in execution.rows if row.type == "compensate"]
    assert undone == [
        (f"{DECIDED}:0:compensate:book:0", "compensate", "book"),
        (f"{DECIDED}:2:compensate:book:0", "compensate", "book"),
    ]
    assert execution.cancels == [f"{DECIDED}:0:", f"{DECIDED}:2:"]


async def test_a_replay_gives_the_same_and_runs_nothing_again() -> None:
    first = an_execution(Couriers("sleeps", "drives", "waits").handler)
    await first.run()
    couriers = Couriers("sleeps", "drives", "waits")
    # What the others waited for has come since.
    late = {f"{DECIDED}:0:rest:0": None}
    again = an_execution(couriers.handler, done=done(first, **late))

    assert await value(again) == "b"

    assert (couriers.bodies, again.rows) == ([], [])
    assert again.unasked() == []


async def test_what_is_not_undone_when_the_worker_dies_is_undone_by_the_next_execution() -> None:
    first = an_execution(Couriers("sleeps", "drives", "waits").handler)
    await first.run()
    known = {step_id: output for step_id, output in done(first).items() if not step_id.startswith(f"{DECIDED}:2:comp")}
    couriers = Couriers("sleeps", "drives", "waits")

    assert await value(an_execution(couriers.handler, done=known)) == "b"

    assert couriers.bodies == ["undo c"]


async def test_all_that_wait_are_waited_for_together() -> None:
    couriers = Couriers("sleeps", "waits", "fails")
    execution = an_execution(couriers.handler)

    assert sorted(await waits(execution)) == [f"{DECIDED}:0:rest:0", f"{DECIDED}:1:answer:0"]

    assert sorted(couriers.bodies) == ["a", "b", "c", "fails"]
    assert execution.cancels == []


async def test_of_several_that_have_ended_meanwhile_the_first_is_the_one_that_ended_first() -> None:
    booked = {f"{DECIDED}:{place}:book:0": "abc"[place] for place in range(3)}
    job = a_job(done={**booked, f"{DECIDED}:0:rest:0": None, f"{DECIDED}:1:rest:0": None})
    early, late = job.event.timestamp, job.event.timestamp.replace(hour=5)
    for step in job.completed_steps:
        step.ended_at = late if step.step_id == f"{DECIDED}:0:rest:0" else early
    couriers = Couriers("sleeps", "sleeps", "waits")
    execution = Execution(function("f")(couriers.handler), job)

    assert await value(execution) == "b"

    assert couriers.bodies == ["undo a", "undo c"]


async def test_when_all_fail_one_error_carries_them_all() -> None:
    execution = an_execution(Couriers("fails", "fails").handler)

    outcome = await execution.run()

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == ("ALL_BRANCHES_FAILED", False)
    assert outcome.error.message == "All branches of 'couriers' failed: no driver; no driver"
    cause = {"message": "no driver", "code": "STEP_FAILED", "error_class": "NonRetryableError"}
    assert outcome.error.details == {"errors": [cause, cause]}
    assert sorted(outcome.caused_by) == [f"{DECIDED}:0:drive:0", f"{DECIDED}:1:drive:0"]
    # The run has failed for good, and is undone as a whole.
    assert len([row for row in execution.rows if row.type == "compensate"]) == 2


async def test_the_error_of_all_may_be_caught() -> None:
    couriers = Couriers("fails", "fails")

    async def handler(ctx: Any) -> list[str]:
        try:
            return [await couriers.handler(ctx)]
        except AllBranchesFailed as failed:
            return [str(each) for each in failed.errors]

    assert await value(an_execution(handler)) == ["no driver", "no driver"]


def test_it_is_tried_again_when_that_may_help_one_of_them() -> None:
    assert not AllBranchesFailed.of("couriers", [NonRetryableError("a")]).retryable
    assert AllBranchesFailed.of("couriers", [NonRetryableError("a"), ValueError("b")]).retryable


async def test_branches_that_were_not_begun_are_not() -> None:
    couriers = Couriers("drives", "drives", "drives")

    async def handler(ctx: Any) -> str:
        branches = [lambda steps, name=name: couriers.branch(steps, name, "drives") for name in "abc"]
        return await ctx.step.parallel("couriers", branches, until="first_success", concurrency=1)

    execution = an_execution(handler)
    assert await value(execution) == "a"
    assert couriers.bodies == ["a", "a drives"]
    assert outputs(execution)[DECIDED] == {"first": 0, "undo": []}


async def test_the_winner_is_undone_when_the_run_fails_later_and_the_others_are_not_undone_twice() -> None:
    couriers = Couriers("sleeps", "drives", "waits")

    async def handler(ctx: Any) -> str:
        await couriers.handler(ctx)
        raise NonRetryableError("the customer has moved")

    outcome = await an_execution(handler).run()

    assert isinstance(outcome, Failed)
    assert couriers.bodies[-3:] == ["undo a", "undo c", "undo b"]


async def test_a_run_that_is_undone_while_they_race_undoes_them_all() -> None:
    booked = {f"{DECIDED}:{place}:book:0": "ab"[place] for place in range(2)}
    couriers = Couriers("sleeps", "waits")

    outcome = await an_execution(couriers.handler, done=booked, compensating={"message": "late"}).run()

    assert isinstance(outcome, Failed)
    assert couriers.bodies == ["undo b", "undo a"]


async def test_a_run_that_is_undone_after_the_race_undoes_what_was_left_under_its_own_ids() -> None:
    first = an_execution(Couriers("sleeps", "drives", "waits").handler)
    await first.run()
    known = {step_id: output for step_id, output in done(first).items() if not step_id.startswith(f"{DECIDED}:2:comp")}
    couriers = Couriers("sleeps", "drives", "waits")
    execution = an_execution(couriers.handler, done=known, compensating={"message": "late"})

    await execution.run()

    assert couriers.bodies == ["undo c", "undo b"]
    assert [row.id for row in execution.rows] == [f"{DECIDED}:2:compensate:book:0", "r:compensate:book:0"]


async def test_a_compensation_that_fails_is_raised_after_the_others() -> None:
    couriers = Couriers("sleeps", "drives", "waits")
    body = couriers.body

    def failing(name: str) -> str:
        body(name)
        if name == "undo a":
            raise ConnectionError("the line is dead")
        return name

    couriers.body = failing  # pyright: ignore[reportAttributeAccessIssue]
    execution = an_execution(couriers.handler)

    outcome = await execution.run()

    assert isinstance(outcome, Failed)
    assert (outcome.error.message, outcome.error.retryable) == ("the line is dead", True)
    assert couriers.bodies[-2:] == ["undo a", "undo c"]
    (failed,) = [row for row in execution.rows if row.status == "failed"]
    assert isinstance(failed.error, StepFailure)
    assert failed.id == f"{DECIDED}:0:compensate:book:0"


async def test_races_and_branches_nest() -> None:
    async def quick(steps: Any) -> str:
        return await steps.run("quick", lambda: "quick")

    async def inner(steps: Any) -> list[str]:
        answer = await steps.parallel("inner", [lambda s: s.sleep("nap", "1h"), quick], until="first_success")
        return [answer, *await steps.parallel("all", [quick, quick])]

    async def handler(ctx: Any) -> Any:
        return await ctx.step.parallel("outer", [lambda s: s.sleep("nap", "2h"), inner], until="first_success")

    execution = an_execution(handler)
    assert await value(execution) == ["quick", "quick", "quick"]
    again = an_execution(handler, done=outputs(execution))
    assert await value(again) == ["quick", "quick", "quick"]
    assert (again.rows, again.unasked()) == ([], [])


async def test_the_time_in_a_branch_is_the_same_in_every_replay() -> None:
    times: list[Any] = []

    async def asks(steps: Any) -> None:
        times.append(ctx_now[-1]())
        await steps.sleep("nap", "1h")

    ctx_now: list[Any] = []

    async def handler(ctx: Any) -> str:
        ctx_now.append(ctx.now)
        await ctx.step.run("before", lambda: 1)
        return await ctx.step.parallel("race", [asks, lambda s: s.run("wins", lambda: "won")], until="first_success")

    features = frozenset({"handler-time"})
    job = a_job()
    job.run_started_at = job.event.timestamp
    execution = Execution(function("f")(handler), job, features=features)
    assert await value(execution) == "won"
    again = a_job(done=outputs(execution))
    again.run_started_at = job.event.timestamp
    ended = {row.id: row.ended_at for row in execution.rows}
    for step in again.completed_steps:
        step.ended_at = ended[step.step_id]
    assert await value(Execution(function("f")(handler), again, features=features)) == "won"
    assert len(set(times)) == 1


async def test_a_plain_handler_races_in_threads() -> None:
    undone: list[str] = []

    def handler(ctx: Any) -> str:
        def slow(steps: Any) -> str:
            steps.run("book", lambda: "a")
            steps.compensate("book", lambda: undone.append("a"))
            steps.sleep("nap", "1h")
            return "a"

        return ctx.step.parallel("couriers", [slow, lambda s: s.run("drive", lambda: "b")], until="first_success")

    execution = an_execution(handler)
    assert await value(execution) == "b"
    assert undone == (["a"] if outputs(execution)[DECIDED]["undo"] else [])


@pytest.mark.parametrize(
    ("branches", "more", "error"),
    [
        ([], {"until": "first_success"}, ValidationError),
        ([lambda s: s.sleep("nap", 1)], {"until": "first"}, ValidationError),
        ([lambda s: s.sleep("nap", 1)], {"until": "first_success", "concurrency": 0}, ValidationError),
    ],
)
async def test_what_cannot_race_is_refused(branches: Any, more: dict[str, Any], error: type[Exception]) -> None:
    async def handler(ctx: Any) -> None:
        with pytest.raises(error):
            await ctx.step.parallel("couriers", branches, **more)

    await value(an_execution(handler))


async def test_the_plain_protocol_has_no_races() -> None:
    async def handler(ctx: Any) -> None:
        with pytest.raises(Unimplemented):
            await ctx.step.parallel("couriers", [lambda s: s.sleep("nap", 1)], until="first_success")

    outcome = await Execution(function("f")(handler), a_job(), many_waits=False).run()
    assert isinstance(outcome, Completed)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"until": "first_success", "on_error": "collect"}, "no effect with until='first_success'"),
        ({"until": "first_success", "on_error": "failFast"}, "no effect with until='first_success'"),
        ({"until": "first_success", "on_error": "nothing"}, "on_error is 'nothing'"),
        ({"until": "first"}, "until is 'first'"),
        ({"until": "first_success", "concurrency": 0}, "concurrency is 0"),
    ],
)
@pytest.mark.parametrize("blocks", [False, True])
async def test_what_contradicts_itself_is_refused_before_a_branch_starts(
    settings: dict[str, Any], text: str, blocks: bool
):
    begun: list[str] = []

    async def branch(steps: Any) -> None:
        begun.append("branch")

    def plain_branch(steps: Any) -> None:
        begun.append("branch")

    @function("asynchronous", on="go")
    async def asynchronous(ctx: Context) -> Any:
        await ctx.step.parallel("couriers", [branch], **settings)

    @function("plain", on="go")
    def plain(ctx: SyncContext) -> Any:
        ctx.step.parallel("couriers", [plain_branch], **settings)

    async with time_machine([plain if blocks else asynchronous]) as machine:
        (run_id,) = (await machine.client.emit("go")).run_ids
        await machine.settle()
        run = await machine.client.runs.get(run_id)

    assert run.error is not None
    assert text in run.error.message
    assert (run.status, begun) == ("failed", [])

"""Texts that no report can have: one of them is a failure of its run, and of no other."""

import pytest

from ironflow.base.errors import ValidationError
from ironflow.sdk.definition.function import function

HALF = "\ud800"
OURS = ["acked-polls", "batch-reports", "many-waits"]


@pytest.fixture(params=["batches", "alone"])
def sent(request, server):
    server.features = OURS if request.param == "batches" else []


def waits():
    @function("waits")
    async def waits(ctx):
        await ctx.step.wait_for_event("go", event=HALF)

    return waits


async def double(ctx, data):
    return data * 2


@pytest.mark.usefixtures("sent")
async def test_a_report_that_cannot_be_written_fails_its_run_and_no_other(server, a_worker):
    await a_worker(double, waits())
    bad, good = await server.give("waits"), await server.give(data=1)

    assert (await server.final(good))["output"] == 2
    assert (await server.final(bad))["error"]["code"] == "SERIALIZATION_ERROR"
    later = await server.give(data=2)
    assert (await server.final(later))["output"] == 4


@pytest.mark.parametrize("text", [HALF, "nul \0", "file-\udcff.txt"])
async def test_what_a_handler_raises_is_reported_whatever_its_text_is(server, a_worker, text):
    async def fails(ctx):
        raise RuntimeError(text)

    await a_worker(fails)
    error = (await server.final(await server.give()))["error"]

    assert error["code"] == "ERROR"
    assert "\0" not in error["message"] + error["stack"]


@pytest.mark.parametrize("text", [HALF, "nul \0"])
async def test_names_of_steps_and_values_are_refused_at_the_call(server, a_worker, text):
    async def names(ctx):
        refused = []
        for call in (
            lambda: ctx.step.run(text, int),
            lambda: ctx.step.parallel(text, [lambda steps: steps.run("a", int)]),
            lambda: ctx.set(text, 1),
        ):
            try:
                await call()
            except ValidationError:
                refused.append(1)
        return refused

    await a_worker(names)

    assert (await server.final(await server.give()))["output"] == [1] * 3


async def test_a_run_whose_values_are_refused_fails_without_them(server, a_worker):
    async def sets(ctx):
        ctx.set("a", 1)

    refused = (400, {"error": "no such name", "code": "invalid_argument", "reason": "VALIDATION_ERROR"})
    server.features = OURS
    await a_worker(sets)
    # A batch that is refused goes again, each report alone.
    await server.script("reports", *[refused] * 2)
    await server.script("update", *[refused] * 2)
    job = await server.give()
    await server.until(lambda: "values" not in server.updates(job)[-1] if server.updates(job) else False)

    assert [each["status"] for each in server.updates(job)][-1] == "failed"
    assert any("values" in each for each in server.updates(job))

"""`Starts`: what a handler starts, reported and answered."""

import asyncio

import pytest

from ironflow.sdk.durable.job.report import InvokeFunctionAsync, Started
from ironflow.sdk.durable.steps.invoke import StartUnanswered
from ironflow.sdk.values.payload import Raw
from ironflow.sdk.worker.starts import UNANSWERED_MAX, Starts


def a_start(step_id: str) -> InvokeFunctionAsync:
    return InvokeFunctionAsync(step_id=step_id, step_name=step_id, function_id="f", input=Raw(b"null"))


async def test_what_no_report_is_answered_for_is_given_up():
    starts = Starts(lambda: None)
    waiting = [asyncio.ensure_future(starts.start([a_start(each)])) for each in "ab"]
    await asyncio.sleep(0)

    assert [step.step_id for step in starts.next_report()] == ["a", "b"]
    assert not starts.settle([Started(step_id="a", run_id="run_1")])
    for _ in range(UNANSWERED_MAX - 1):
        assert [step.step_id for step in starts.next_report()] == ["b"]
        assert not waiting[1].done()
        assert not starts.settle([])

    assert [each.run_id for each in await waiting[0]] == ["run_1"]
    with pytest.raises(StartUnanswered):
        await waiting[1]
    assert not starts

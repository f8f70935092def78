"""Publishing from a handler: a step that happens once. Source: protocol/step-semantics.md 8."""

import hashlib

import msgspec

from ironflow.sdk.definition.function import function
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.assignment import CompletedStep
from ironflow.sdk.durable.job.report import Completed, Failed
from tests.sdk.durable.jobs import a_job, an_execution, raw


class Topics:
    """Takes messages in place of a server."""

    def __init__(self):
        self.messages = []

    async def publish(self, topic, message, key):
        self.messages.append((topic, msgspec.json.decode(message), key))
        return {"eventId": f"msg_{len(self.messages)}", "sequence": 7}


async def announces(ctx):
    return await ctx.step.publish("orders.done", {"id": 1})


async def test_a_message_goes_out_under_the_key_of_its_step():
    topics = Topics()
    execution = Execution(function("f")(announces), a_job(), publish=topics.publish)

    outcome = await execution.run()

    step_id = "r:publish:orders.done:0"
    assert topics.messages == [("orders.done", {"id": 1}, "step-" + hashlib.sha256(step_id.encode()).hexdigest())]
    assert [(row.id, row.name, row.type) for row in execution.rows] == [(step_id, "publish:orders.done", "invoke")]
    assert isinstance(outcome, Completed)
    assert msgspec.json.decode(outcome.output) == {"eventId": "msg_1", "sequence": 7}


async def test_a_recorded_message_is_not_sent_again():
    topics = Topics()
    job = a_job(done={"r:publish:orders.done:0": {"eventId": "msg_0", "sequence": 3}})

    outcome = await Execution(function("f")(announces), job, publish=topics.publish).run()

    assert topics.messages == []
    assert isinstance(outcome, Completed)
    assert msgspec.json.decode(outcome.output) == {"eventId": "msg_0", "sequence": 3}


async def test_a_handler_without_a_server_is_refused_to_publish():
    outcome = await an_execution(announces).run()

    assert isinstance(outcome, Failed)
    assert "runs without a server" in outcome.error.message


async def test_a_step_that_is_recorded_as_something_else_ends_the_execution_and_undoes_nothing():
    undone = []

    async def changed(ctx):
        ctx.step.compensate("charge", lambda: undone.append("charge"))
        await ctx.step.sleep("charge", "1m")

    job = a_job()
    job.completed_steps = [CompletedStep(step_id="r:charge:0", name="charge", output=raw(1), type="invoke")]

    outcome = await Execution(function("f")(changed), job).run()

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == ("STEP_DIVERGED", False)
    assert "Recorded: charge (invoke)" in outcome.error.message
    assert undone == []


async def test_a_recorded_step_without_a_type_is_accepted():
    async def changed(ctx):
        await ctx.step.sleep("charge", "1m")
        return "on"

    outcome = await an_execution(changed, done={"r:charge:0": None}).run()

    assert isinstance(outcome, Completed)

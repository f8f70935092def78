"""What a handler waits for when it yields, as a worker reports it.

await server.report(job, "yielded", yielded=waits_for(job, "order.approved", match="orderId"))
"""

from typing import Any

from ironflow.base.time import Millis
from ironflow.features.jobs.contract import Assignment
from tests.support.work import text_of


def waits_for(job: Assignment, event: str, *, name: str = "approval", **filter_: Any) -> dict[str, Any]:
    """A wait for an event. filter_: match, match_value, payload, look_back, timeout."""
    return {
        "type": "wait_for_event",
        "step_id": f"{job.run_id}:{name}:0",
        "event_filter": {"event": event, **filter_},
    }


def sleeps(job: Assignment, until: Millis, *, name: str = "nap") -> dict[str, Any]:
    """A sleep until a time."""
    return {"type": "sleep", "step_id": f"{job.run_id}:{name}:0", "until": text_of(until)}


def invokes(job: Assignment, function_id: str, input_: Any = None, **more: Any) -> dict[str, Any]:
    """Another function, and its output. more: invoke_timeout_ms, or type for `invoke_function_async`."""
    name = function_id.replace(":", "\\:")
    invoked = {"type": "invoke_function", "function_id": function_id, "input": input_}
    return {**invoked, "step_id": f"{job.run_id}:{name}:0", **more}

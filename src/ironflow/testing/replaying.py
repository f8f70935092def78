"""Replays recorded runs in a test: does the code that is tested still fit what is recorded?"""

from collections.abc import Mapping, Sequence

from ironflow.base.errors import NotFound
from ironflow.features.events import contract as events
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Step
from ironflow.sdk.client.client import Client
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.replaying.record import Record
from ironflow.sdk.replaying.replay import ReplayDiverged, Replayed, replay_record
from ironflow.sdk.values.upcasting import UpcasterRegistry

__all__ = ["ReplayDiverged", "Replayed", "replay"]


async def replay(
    function: FunctionDefinition,
    run_id: str,
    *,
    client: Client,
    secrets: Mapping[str, str] | None = None,
    upcasters: UpcasterRegistry | None = None,
    until: str = "",
    run_steps: Sequence[str] = (),
) -> Replayed:
    """Runs the handler over the record of a run: no body runs, and nothing is changed.

        (await replay(process_order, "run_06DGK3…", client=client)).check()

    secrets: values of declared secrets; the others are placeholders. until: the name or id of a step at which the
    handler is left. run_steps: names or ids of steps whose bodies run for real.
    Raises RunNotFound, InvalidArgument for a run of another function.
    """
    run = await client.call(runs.get, runs.GetRun(id=run_id))
    steps: list[Step] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await client.call(runs.steps, runs.GetRunSteps(run_id=run_id, cursor=cursor))
        steps += page.steps
        cursor = page.next_cursor or None
    try:
        event = await client.call(events.get, events.GetEvent(id=run.event_id))
    except NotFound:
        event = None
    record = Record(run, steps, event)
    return await replay_record(function, record, secrets=secrets, upcasters=upcasters, until=until, real=run_steps)

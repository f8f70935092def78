"""What is decided about a tick whose schedule has runs that have not ended; pure.

Source: docs/guides/schedules.md, "Overlap".
"""

from typing import Literal, NamedTuple, assert_never

from ironflow.base.overlap import Overlap
from ironflow.base.time import Millis

# start: its run starts now. skip: it starts none. keep: it starts when the runs have ended. replace: as keep, and the
# runs are cancelled.
Verdict = Literal["start", "skip", "keep", "replace"]


class Tick(NamedTuple):
    """owner: whose runs must not overlap. event, data, source, metadata: of the event that starts the run.

    metadata: a JSON object, empty for none.
    """

    environment: str
    owner: str
    tick_at: Millis
    function_id: str
    event: str
    data: str
    source: str
    metadata: str = ""


def decide_tick(overlap: Overlap, running: int, *, kept: bool) -> Verdict:
    """What a tick does.

    running: runs of the owner that have not ended. kept: an earlier tick waits for them; the later one replaces it.
    """
    if not running and not kept:
        return "start"
    match overlap:
        case "all":
            return "start"
        case "skip":
            return "skip"
        case "one":
            return "keep"
        case "cancel_running":
            return "replace"
        case _:
            assert_never(overlap)


def function_owner(function_id: str) -> str:
    """The owner of the ticks of a function's own cron triggers, of all of them together."""
    return f"function/{function_id}"


def schedule_owner(schedule_id: str) -> str:
    return f"schedule/{schedule_id}"


def backfill_owner(schedule_id: str, backfill_id: str) -> str:
    return f"backfill/{schedule_id}/{backfill_id}"

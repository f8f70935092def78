"""What is decided about showing runs; pure. What runs do is decided in `ironflow.engine`."""

from collections.abc import Iterable

from ironflow.base.errors import InvalidArgument
from ironflow.base.json import write_json_text
from ironflow.engine.model import Run, Status, Step
from ironflow.features.runs.contract import RunNotEnded, RunStatus, StepStatus

# The engine's states that a client's status selects: a status, and its reasons (None for any).
StateFilter = tuple[Status, tuple[str, ...] | None]

_WAITING_AS_PAUSED = ("sleep", "wait_event", "invoke")
_WAITING_AS_PENDING = ("retry", "throttle")


# What a run is that is undone before it is cancelled.
UNDER_WAY = ("pending", "waiting", "running")

_STATES: dict[RunStatus, tuple[StateFilter, ...]] = {
    RunStatus.PENDING: (("pending", None), ("waiting", _WAITING_AS_PENDING)),
    RunStatus.RUNNING: (("running", None),),
    RunStatus.WAITING: (("waiting", _WAITING_AS_PAUSED),),
    RunStatus.PAUSED: (("paused", None), ("waiting", _WAITING_AS_PAUSED)),
    RunStatus.COMPLETED: (("completed", None),),
    RunStatus.FAILED: (("failed", None),),
    RunStatus.CANCELLED: (("cancelled", None),),
}


def shown_status(run: Run) -> RunStatus:
    """The status that clients see: existing ones know no `cancelling`.

    Source: protocol/connectrpc.md 4, "Run statuses".
    """
    if is_cancelling(run):
        return RunStatus.RUNNING
    if run.status == "waiting":
        return RunStatus.PENDING if run.reason in _WAITING_AS_PENDING else RunStatus.WAITING
    return RunStatus(run.status)


def is_cancelling(run: Run) -> bool:
    """Whether it is undone, or about to be. One that is held for a person meanwhile is paused."""
    return run.cancelling is not None and run.status in UNDER_WAY


def shown_state(run: Run) -> str:
    """The engine's status, with the reason of one that waits or is paused."""
    if is_cancelling(run):
        return "cancelling"
    return f"{run.status}: {run.reason}" if run.reason else run.status


def is_replayed(step: Step) -> bool:
    """Whether a handler is replayed over the step; the same that MEMO of the store selects."""
    return (
        step.status in ("completed", "retrying", "pending", "running")
        or step.failure == "kept"
        or (step.failure == "released" and step.progress is not None)
        or (step.type == "invoke_function" and step.status == "failed" and not step.failure)
        or (step.status == "timed_out" and step.on_timeout == "answer" and not step.failure)
        or (step.handle and step.failure != "released")
    )


def shown_step_status(step: Step, run: Run) -> StepStatus:
    """A failed step is shown as retrying while another attempt of its run is to come; a failure that is kept is not.

    Existing clients know no cancelled steps; `stored_status` is exact.
    """
    if step.status == "cancelled":
        return StepStatus.FAILED
    status = StepStatus(step.status)
    if status is StepStatus.FAILED and step.failure != "kept" and run.status == "waiting" and run.reason == "retry":
        return StepStatus.RETRYING
    return status


def pause_reason(run: Run) -> str:
    """`sleep`, `wait_event` or `injection`, or nothing; a run paused because its attempts are used up counts too."""
    if run.status == "paused":
        return "injection"
    return run.reason if run.reason in ("sleep", "wait_event") else ""


def status_filter(statuses: list[RunStatus]) -> list[StateFilter]:
    """What to look for in the rows: (engine status, its reasons or None for any).

    `paused` includes waiting runs, for that is how JSON shows them.
    """
    wanted: list[StateFilter] = []
    for status in statuses:
        wanted.extend(_STATES[status])
    return wanted


# A run of more steps is named in the log, once, with the advice to restart.
STEPS_ADVISED_MAX = 2_000


def advice(run: Run) -> str:
    """What to change in the handler of a run that has grown long; empty for others, and for one that has ended."""
    if run.ended or run.step_count <= STEPS_ADVISED_MAX:
        return ""
    return (
        f"It has {run.step_count} steps, and each execution replays them all. Let its handler start afresh before it "
        f"has {STEPS_ADVISED_MAX}: return ctx.restart(data)."
    )


def check_cursor(cursor: str, prefix: str) -> None:
    """Raises InvalidArgument for a text that no list gave out."""
    if cursor and (not cursor.startswith(prefix) or len(cursor) > 64 or not cursor.replace("_", "").isalnum()):
        raise InvalidArgument(f"{cursor[:40]!r} is not a cursor of this list. Pass next_cursor as it was given.")


def output_filter(wanted: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """`order.total=1200`: names and numbers of elements on the way, and the JSON texts that are equal to the value.

    None for an empty text. Raises InvalidArgument.
    """
    if not wanted:
        return None
    path, equals, value = wanted.partition("=")
    names = tuple(path.strip().split("."))
    if not equals or not all(names) or any(sign in path for sign in '"\\\0') or "\0" in value:
        raise InvalidArgument(f"output is {wanted[:60]!r}; write PATH=VALUE, such as order.total=1200.")
    return names, (value, write_json_text(value))


def offset_of(cursor: str) -> int:
    """How many steps come before the page that `cursor` leads to. Raises InvalidArgument for one no list gave out."""
    if not cursor:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 9:
        raise InvalidArgument(f"{cursor[:40]!r} is not a cursor of this list. Pass next_cursor as it was given.")
    return int(cursor)


def step_row_id(run_id: str, number: int) -> str:
    """The row id of a step, made from its run and its number. Opaque to clients."""
    return f"step_{run_id.removeprefix('run_')}_{number}"


def step_number(run_id: str, row_id: str) -> int:
    """The number in a step's row id; -1 for a text that is no row id of this run."""
    prefix = f"step_{run_id.removeprefix('run_')}_"
    number = row_id.removeprefix(prefix)
    return int(number) if row_id.startswith(prefix) and number.isascii() and number.isdigit() else -1


def run_id_of_step(row_id: str) -> str:
    """The run of a step's row id or of an SDK step id; for another text, an id that no run has."""
    if row_id.startswith("step_"):
        return f"run_{row_id.removeprefix('step_').rpartition('_')[0]}"
    return row_id.partition(":")[0]


def check_ended(runs: Iterable[Run]) -> None:
    """Raises RunNotEnded naming the first run that still needs its payloads."""
    for run in runs:
        if not run.ended:
            raise RunNotEnded(
                f"Run {run.id} is {run.status} and still needs its payloads. Wait for its end, or cancel it first."
            )

"""`ironflow replay`: the user's handlers over recorded runs, on this machine."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.console import Group, RenderableType
from rich.text import Text

from ironflow.base.duration import InvalidDuration, duration_ms
from ironflow.base.errors import NotFound
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.terminal.output import facts, table
from ironflow.cli.terminal.times import read_moment
from ironflow.cli.worker.load import load_functions, load_upcasters
from ironflow.features.events import contract as events
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run, Step
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.replaying.record import Record
from ironflow.sdk.replaying.replay import Replayed, replay_record

app = App("replay")

LAST_MAX = 10_000
DEBUG_PORT = 5678
_PAGE = 100
_PROGRESS_EVERY = 50
_SHOWN_MAX = 20


@app.default
def replay(
    first: Annotated[str, Parameter(name="RUN", help="The run's id; left out with --function.")],
    second: Annotated[str, Parameter(name="TARGET", help="FILE.py, MODULE, or one of them with :FUNCTIONS.")] = "",
    /,
    *,
    function: str = "",
    last: int = 100,
    until: str = "",
    at: str = "",
    run_step: Annotated[list[str] | None, Parameter(negative="")] = None,
    debug: Annotated[bool, Parameter(negative="")] = False,
    debug_port: int = DEBUG_PORT,
    cli: Injected,
) -> int:
    """Run your handler over the record of a run, and show where they do not fit: `ironflow replay RUN app.py`.

    No step body runs, outputs come from the record, and nothing is changed on the server. Code outside of steps runs.
    With --function, the newest runs of a function: `ironflow replay --function process-order --last 500 app.py`.
    The exit code is 1 when the code does not fit one of them.

    Args:
        function: Replay the newest runs of this function.
        last: How many of them.
        until: Stop when the handler asks for this step: its name or step id.
        at: Replay the run as it was then: a time, an age, or +90s after its creation.
        run_step: Run the body of this step for real. May be repeated.
        debug: Wait for a debugger before the handler runs; needs debugpy.
        debug_port: The port on which debugpy waits, on this machine only.
    """
    run_id, target = ("", first) if function else (first, second)
    if not target or (function and second):
        raise UsageError("write `ironflow replay RUN app.py`, or `ironflow replay --function FUNCTION app.py`.")
    if not 1 <= last <= LAST_MAX:
        raise UsageError(f"--last is {last}; write a number from 1 to {LAST_MAX}.")
    if function and (run_step or debug or at):
        raise UsageError("--at, --run-step and --debug are for one run: `ironflow replay RUN app.py`.")
    program = _Program(target, until, run_step or [])
    if debug:
        wait_for_debugger(cli, debug_port)
    return _many(cli, program, function, last) if function else _one(cli, program, run_id, at)


class _Program:
    """The functions of a target, and how they are replayed. Raises UsageError for a target that has none."""

    def __init__(self, target: str, until: str, real: Sequence[str]) -> None:
        # What the module or its handlers print must not be taken for the answer.
        with redirect_stdout(sys.stderr):
            self._functions = {each.id: each for each in load_functions(target)}
            self._upcasters = load_upcasters(target)
        self._target, self._until, self._real = target, until, real

    def function(self, function_id: str) -> FunctionDefinition:
        """Raises UsageError."""
        if function_id not in self._functions:
            known = ", ".join(self._functions) or "none"
            raise UsageError(f"{self._target} has no function {function_id!r}. Its functions: {known}.")
        return self._functions[function_id]

    async def replay(self, record: Record) -> Replayed:
        with redirect_stdout(sys.stderr):
            return await replay_record(
                self.function(record.run.function_id),
                record,
                upcasters=self._upcasters,
                until=self._until,
                real=self._real,
            )


def wait_for_debugger(cli: Cli, port: int) -> None:
    """Waits until a debugger is attached. Raises UsageError without debugpy."""
    if find_spec("debugpy") is None:
        raise UsageError("--debug needs debugpy, which is not installed: pip install 'ironflow-engine[debug]'.")
    debugpy: Any = import_module("debugpy")
    debugpy.listen(("127.0.0.1", port))
    cli.note(f"waiting for a debugger on 127.0.0.1:{port}", "dim")
    debugpy.wait_for_client()


def _one(cli: Cli, program: _Program, run_id: str, at: str) -> int:
    run = cli.call(runs.get, runs.GetRun(id=run_id))
    program.function(run.function_id)
    record = _record(cli, run)
    if at:
        record = record.at(_moment(at, run, cli))
    found = asyncio.run(program.replay(record))
    cli.show(_document(found), lambda: _render(found))
    return Exit.FAILED if found.verdict == "diverges" else Exit.OK


def _moment(given: str, run: Run, cli: Cli) -> datetime:
    """Raises UsageError."""
    if not given.startswith("+"):
        return read_moment(given, cli.clock.now())
    try:
        return run.created_at + timedelta(milliseconds=duration_ms(given[1:]))
    except InvalidDuration:
        raise UsageError(f"{given!r} is no time after the creation; write +90s, for one.") from None


def _many(cli: Cli, program: _Program, function_id: str, last: int) -> int:
    program.function(function_id)
    tally = _Tally(function_id)
    with asyncio.Runner() as runner:
        for run in _newest(cli, function_id, last):
            try:
                record = _record(cli, run)
            except NotFound:
                # It was deleted since it was listed.
                tally.deleted += 1
                continue
            tally.add(runner.run(program.replay(record)))
            if tally.count % _PROGRESS_EVERY == 0:
                cli.note(f"replayed {tally.count} of at most {last} runs, {len(tally.diverged)} diverge", "dim")
    cli.show(tally.document(), tally.render)
    return Exit.FAILED if tally.diverged else Exit.OK


def _newest(cli: Cli, function_id: str, last: int) -> Iterator[Run]:
    """The newest runs of a function, at most `last`."""
    request = runs.ListRuns(function_id=function_id, limit=min(last, _PAGE))
    while last > 0:
        page = cli.call(runs.list_, request)
        yield from page.runs[:last]
        last -= len(page.runs)
        if not page.next_cursor:
            return
        request = msgspec.structs.replace(request, cursor=page.next_cursor)


def _record(cli: Cli, run: Run) -> Record:
    """Raises RunNotFound for a run that is deleted meanwhile."""
    steps: list[Step] = []
    cursor: str | None = ""
    while cursor is not None:
        page = cli.call(runs.steps, runs.GetRunSteps(run_id=run.id, cursor=cursor))
        steps += page.steps
        cursor = page.next_cursor or None
    try:
        event = cli.call(events.get, events.GetEvent(id=run.event_id))
    except NotFound:
        event = None
    return Record(run, steps, event)


class _Tally:
    """What became of many replays. deleted: runs that were deleted meanwhile."""

    def __init__(self, function_id: str) -> None:
        self.function_id = function_id
        self.verdicts: Counter[str] = Counter(fits=0, diverges=0, undecided=0)
        self.kinds: Counter[str] = Counter()
        self.diverged: list[Replayed] = []
        self.undecided: list[Replayed] = []
        self.deleted = 0

    @property
    def count(self) -> int:
        return self.verdicts.total()

    def add(self, found: Replayed) -> None:
        self.verdicts[found.verdict] += 1
        # A kind counts once for each run.
        self.kinds.update({each.kind.value for each in found.divergences})
        if found.verdict == "diverges":
            self.diverged.append(found)
        elif found.verdict == "undecided":
            self.undecided.append(found)

    def document(self) -> dict[str, Any]:
        return {
            "function_id": self.function_id,
            "runs": self.count,
            **self.verdicts,
            "divergences": dict(self.kinds),
            "deleted": self.deleted,
            "diverged": [_document(each) for each in self.diverged],
            "undecided_runs": [{"run_id": each.run_id, "reason": each.reason} for each in self.undecided],
        }

    def render(self) -> RenderableType:
        parts: list[RenderableType] = [
            facts(
                [
                    ("function", self.function_id),
                    ("runs", str(self.count)),
                    ("fit", str(self.verdicts["fits"])),
                    ("diverge", Text(str(self.verdicts["diverges"]), style="red" if self.diverged else "")),
                    ("undecided", str(self.verdicts["undecided"])),
                    ("deleted", str(self.deleted) if self.deleted else None),
                ]
            )
        ]
        if self.kinds:
            rows = ([kind, str(count)] for kind, count in self.kinds.most_common())
            parts += [Text(), table(["DIVERGENCE", "RUNS"], rows, right=["RUNS"])]
        shown = [[each.run_id, " ".join(found.message for found in each.divergences)] for each in self.diverged]
        shown += [[each.run_id, each.reason] for each in self.undecided]
        if shown:
            parts += [Text(), table(["RUN", "WHY"], shown[:_SHOWN_MAX])]
        if len(shown) > _SHOWN_MAX:
            parts.append(Text(f"{len(shown) - _SHOWN_MAX} more: add --json", style="dim"))
        return Group(*parts)


def _document(found: Replayed) -> dict[str, Any]:
    return msgspec.to_builtins(found)


_VERDICTS = {"fits": "the code fits", "diverges": "the code does not fit", "undecided": "undecided"}
_STYLES = {"fits": "green", "diverges": "red", "undecided": "yellow"}
_ENDS = {
    "completed": "the handler completes",
    "restarted": "the handler restarts the run",
    "failed": "the handler fails",
    "waits": "the handler waits",
    "goes_on": "the handler goes on where the record ends",
    "stopped": "stopped",
}


def _render(found: Replayed) -> RenderableType:
    end = _ENDS[found.end] if found.end is not None else None
    if end is not None and found.next_steps:
        end += f", next: {', '.join(found.next_steps)}"
    parts: list[RenderableType] = [
        facts(
            [
                ("run", found.run_id),
                ("function", found.function_id),
                ("replay", Text(_VERDICTS[found.verdict], style=_STYLES[found.verdict])),
                ("because", found.reason or None),
                ("recorded", f"{found.recorded_status}, {found.recorded_steps} steps"),
                ("now", end),
                ("error", Text(found.error, style="red") if found.error else None),
                ("output", "another one than the run's" if found.other_output else None),
            ]
        )
    ]
    if found.divergences:
        rows = ([each.kind.value, each.message] for each in found.divergences)
        parts += [Text(), table(["DIVERGENCE", "WHAT"], rows)]
    for step in found.real:
        gave = f"raised {step.error}" if step.error else f"gave {_json(step.output)}"
        parts.append(Text(f"{step.name} ran for real and {gave}; recorded: {_json(step.recorded)}"))
    return Group(*parts)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()

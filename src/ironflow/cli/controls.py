"""The commands of `ironflow run` that take a run in hand: pause, resume, retry, look, inject, patch, and why."""

from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Group, RenderableType
from rich.text import Text

from ironflow.base.json import Json
from ironflow.cli.invocation import Cli, Here
from ironflow.cli.output import facts, status_text, table
from ironflow.cli.payload import read_data
from ironflow.cli.times import moment_text
from ironflow.features.controls import contract as controls
from ironflow.features.controls.contract import PausedState, Why

RunId = Annotated[str, Parameter(help="The run's id, such as run_06DGK3….")]
Output = Annotated[
    str, Parameter(name=["--output", "-o"], help="JSON, @FILE, or - for standard input.", allow_leading_hyphen=True)
]
Reason = Annotated[str, Parameter(help="Why; it is kept where the run is recorded.")]
FromStep = Annotated[
    str, Parameter(help="A step by name, step id or row id: its result and all later ones are forgotten.")
]

_OUTPUT_SHOWN_MAX = 100


def pause(run: RunId, /, *, cli: Here) -> None:
    """Hold a run: at once when it is at rest, else at its next step boundary."""
    answer = cli.ask(controls.pause, controls.PauseRun(run_id=run))
    cli.show(answer, lambda: f"paused {run}" if answer.status == "paused" else f"{run} pauses when its step is done")


def resume(run: RunId, /, *, from_step: FromStep = "", cli: Here) -> None:
    """Let a paused or failed run go on with its recorded steps. One that failed has all its attempts again."""
    answer = cli.ask(controls.resume, controls.ResumeRun(run_id=run, from_step=from_step))
    cli.show(answer, lambda: f"resumed {answer.id}")


def retry(run: RunId, /, *, from_step: FromStep = "", cli: Here) -> None:
    """Run a failed run again, from the beginning unless --from-step says from where."""
    answer = cli.ask(controls.retry, controls.RetryRun(id=run, from_step=from_step))
    cli.show(answer, lambda: f"retrying {answer.id}")


def paused_state(run: RunId, /, *, cli: Here) -> None:
    """Show what a run has finished so far, with the row ids that inject and patch take, and what comes next."""
    answer = cli.ask(controls.paused_state, controls.GetPausedState(run_id=run))
    cli.show(answer, lambda: _paused_picture(cli, answer))


def inject(run: RunId, step: str, /, *, output: Output, reason: Reason = "", cli: Here) -> None:
    """Replace the output of a finished step of a paused run; resume lets the run go on with it.

    Args:
        step: The step's row id, step id or name.
    """
    # As a text: a JSON text as such would be taken for JSON written in it.
    told = Json(msgspec.json.encode(bytes(read_data(output, cli.stdin)).decode()))
    request = controls.InjectOutput(run_id=run, step_id=step, new_output=told, reason=reason)
    answer = cli.ask(controls.inject, request)
    cli.show(answer, lambda: f"injected into {answer.step_id}, which was {_shown(answer.previous_output)}")


def patch(step: str, /, *, output: Output, reason: Reason = "", cli: Here) -> None:
    """Replace the output of a step of a run that no worker has. The original is kept; the run goes on when resumed.

    Args:
        step: The step's row id, or its step id.
    """
    told = read_data(output, cli.stdin)
    answer = cli.ask(controls.patch, controls.PatchStep(step_id=step, output=told, reason=reason))
    cli.show(answer, lambda: f"patched {answer.name} of {answer.run_id}: ironflow run resume {answer.run_id}")


def why(run: RunId, /, *, cli: Here) -> None:
    """Say why a run is not running: what it waits for, until when, or who holds its slot."""
    answer = cli.ask(controls.why, controls.GetWhy(id=run))
    cli.show(answer, lambda: _why_picture(cli, answer))


def _paused_picture(cli: Cli, state: PausedState) -> RenderableType:
    steps = table(
        ["ROW", "STEP", "TYPE", "STATUS", "FINISHED", "OUTPUT"],
        (
            [
                each.id,
                each.name,
                each.step_type,
                status_text(each.status) + Text(" (injected)" if each.injected else "", style="yellow"),
                moment_text(each.completed_at, cli.clock.now()),
                Text(_shown(each.error or ""), style="red") if each.error else _shown(each.output or ""),
            ]
            for each in state.steps
        ),
    )
    about = facts([("reason", state.pause_reason or "not paused"), ("comes next", state.next_step_hint)])
    return Group(about, Text(), steps) if state.steps else about


def _why_picture(cli: Cli, found: Why) -> RenderableType:
    return facts(
        [
            ("state", found.state),
            ("why", found.message),
            ("until", moment_text(found.until, cli.clock.now())),
            ("step", found.step_id),
            ("event", found.event),
            ("child", found.child_run_id),
            ("worker", found.worker_id),
            ("lacks a slot of", ", ".join(found.waits_for or ())),
            ("slots held by", "\n".join(found.held_by or ())),
        ]
    )


def _shown(text: str) -> str:
    return text if len(text) <= _OUTPUT_SHOWN_MAX else text[: _OUTPUT_SHOWN_MAX - 1] + "…"

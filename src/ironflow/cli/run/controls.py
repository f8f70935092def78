"""Commands of `ironflow run` that control a run: cancel, pause, resume, retry, paused-state, inject, patch and why."""

from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Group, RenderableType
from rich.text import Text

from ironflow.base.duration import duration_ms
from ironflow.base.errors import DeadlineExceeded
from ironflow.base.json import Json
from ironflow.base.message_waits import message_name
from ironflow.cli.exits import Exit
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.terminal.output import facts, status_text, table
from ironflow.cli.terminal.payload import read_data
from ironflow.cli.terminal.times import moment_text
from ironflow.features.controls import contract as controls
from ironflow.features.controls.contract import PausedState, Why
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import step_kind

RunId = Annotated[str, Parameter(help="The run's id, such as run_06DGK3…, or function:key.")]
Output = Annotated[
    str, Parameter(name=["--output", "-o"], help="JSON, @FILE, or - for standard input.", allow_leading_hyphen=True)
]
Reason = Annotated[str, Parameter(help="The reason, stored in the run's recording and in the audit trail.")]
FromStep = Annotated[str, Parameter(help="Name, step id or row id of the first step whose result is dropped.")]

# What a run waits for a slot of, as `Why.waits_for` names it.
_LANES = {"actor": "its actor", "limit": "its concurrency limit or entity"}
_OUTPUT_SHOWN_MAX = 100


def cancel(
    run: RunId,
    /,
    *,
    reason: str = "",
    force: Annotated[bool, Parameter(negative="")] = False,
    wait: Annotated[bool, Parameter(name=["--wait", "-w"], negative="")] = False,
    timeout: str = "60s",
    cli: Injected,
) -> Exit:
    """Cancel a run. It ends at once, or, with on_cancel="compensate", after its compensations.

    Args:
        reason: The reason, stored with the run.
        force: End it at once, without compensations, as a second cancel does.
        wait: Wait until it has ended. Exit code 75 when it has not.
        timeout: How long to wait, such as 30s or 5m.
    """
    # Before the run is cancelled.
    wait_s = duration_ms(timeout) / 1000
    answer = cli.call(runs.cancel, runs.CancelRun(id=run, reason=reason, force=force))
    if wait and not answer.status.ended:
        try:
            with cli.waiting(f"waiting for {answer.id}"):
                cli.client.runs.wait(answer.id, timeout=wait_s)
        except DeadlineExceeded:
            cli.note(f"It goes on. To end it at once: ironflow run cancel {answer.id} --force", "dim")
        answer = cli.call(runs.get, runs.GetRun(id=answer.id))
    cli.show(answer, lambda: f"{answer.state if answer.state == 'cancelling' else answer.status} {answer.id}")
    if not answer.status.ended and not wait:
        cli.note(f"Its compensations run first. To end it at once: ironflow run cancel {answer.id} --force", "dim")
    return Exit.TRY_AGAIN if wait and not answer.status.ended else Exit.OK


def pause(run: RunId, /, *, reason: Reason = "", cli: Injected) -> None:
    """Pause a run: at once when it waits, else at its next step boundary."""
    answer = cli.call(controls.pause, controls.PauseRun(run_id=run, reason=reason))
    cli.show(answer, lambda: f"paused {run}" if answer.status == "paused" else f"{run} pauses after its step")


def resume(run: RunId, /, *, from_step: FromStep = "", reason: Reason = "", cli: Injected) -> None:
    """Resume a paused or failed run with its recorded steps. A failed run gets all its attempts again."""
    answer = cli.call(controls.resume, controls.ResumeRun(run_id=run, from_step=from_step, reason=reason))
    cli.show(answer, lambda: f"resumed {answer.id}")


def retry(run: RunId, /, *, from_step: FromStep = "", reason: Reason = "", cli: Injected) -> None:
    """Retry a failed run from the beginning, or from --from-step."""
    answer = cli.call(controls.retry, controls.RetryRun(id=run, from_step=from_step, reason=reason))
    cli.show(answer, lambda: f"retrying {answer.id}")


def paused_state(run: RunId, /, *, cli: Injected) -> None:
    """Show the finished steps of a run with the row ids for inject and patch, and the next step."""
    answer = cli.call(controls.paused_state, controls.GetPausedState(run_id=run))
    cli.show(answer, lambda: _render_paused(cli, answer))


def inject(run: RunId, step: str, /, *, output: Output, reason: Reason = "", cli: Injected) -> None:
    """Replace the output of a finished step of a paused run; resume continues with it.

    Args:
        step: The step's row id, step id or name.
    """
    # The server decodes a JSON string once more, so the output is sent as an encoded string.
    output_text = Json(msgspec.json.encode(bytes(read_data(output, cli.stdin)).decode()))
    request = controls.InjectOutput(run_id=run, step_id=step, new_output=output_text, reason=reason)
    answer = cli.call(controls.inject, request)
    cli.show(answer, lambda: f"injected into {answer.step_id}, which was {_shown(answer.previous_output)}")


def patch(
    step: str,
    /,
    *,
    output: Output,
    reason: Reason = "",
    resume: Annotated[bool, Parameter(negative="")] = False,
    cli: Injected,
) -> None:
    """Replace the output of a step while no worker holds the run. The original output is kept.

    Resume the run to continue with the new output.

    Args:
        step: The step's row id, or its step id.
        resume: Resume the run, which is paused or failed, after the step is patched.
    """
    new_output = read_data(output, cli.stdin)
    answer = cli.call(controls.patch, controls.PatchStep(step_id=step, output=new_output, reason=reason))
    if resume:
        cli.call(controls.resume, controls.ResumeRun(run_id=answer.run_id))
    after = "resumed" if resume else f"ironflow run resume {answer.run_id}"
    cli.show(answer, lambda: f"patched {answer.name} of {answer.run_id}: {after}")


def why(run: RunId, /, *, cli: Injected) -> None:
    """Show why a run is not running: what it waits for, until when, and which run holds its slot."""
    answer = cli.call(controls.why, controls.GetWhy(id=run))
    cli.show(answer, lambda: _render_why(cli, answer))


def _render_paused(cli: Cli, state: PausedState) -> RenderableType:
    steps = table(
        ["ROW", "STEP", "TYPE", "STATUS", "FINISHED", "OUTPUT"],
        (
            [
                each.id,
                each.name,
                step_kind(each.step_type),
                status_text(each.status) + Text(" (injected)" if each.injected else "", style="yellow"),
                moment_text(each.completed_at, cli.clock.now()),
                Text(_shown(each.error or ""), style="red") if each.error else _shown(each.output or ""),
            ]
            for each in state.steps
        ),
    )
    about = facts([("reason", state.pause_reason or "not paused"), ("comes next", state.next_step_hint)])
    return Group(about, Text(), steps) if state.steps else about


def _render_why(cli: Cli, found: Why) -> RenderableType:
    message = message_name(found.event) if found.event else None
    return facts(
        [
            ("state", found.state),
            ("why", found.message),
            ("until", moment_text(found.until, cli.clock.now())),
            ("step", found.step_id),
            ("event", found.event if message is None else None),
            ("message", message),
            ("child", found.child_run_id),
            ("worker", found.worker_id),
            ("lacks a slot of", ", ".join(_LANES.get(each, each) for each in found.waits_for or ())),
            ("slots held by", "\n".join(found.held_by or ())),
        ]
    )


def _shown(text: str) -> str:
    return text if len(text) <= _OUTPUT_SHOWN_MAX else text[: _OUTPUT_SHOWN_MAX - 1] + "…"

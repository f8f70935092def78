"""`ironflow run result`: the output of a run, alone, for scripts."""

from typing import Annotated

from cyclopts import Parameter

from ironflow.base.duration import duration_ms
from ironflow.base.errors import DeadlineExceeded
from ironflow.cli.exits import Exit
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.terminal.output import failure_text
from ironflow.features.runs import contract as runs
from ironflow.features.runs.contract import Run, RunResult, RunStatus


def result(
    run: Annotated[str, Parameter(help="The run's id, such as run_06DGK3…, or function:key.")],
    /,
    *,
    wait: Annotated[bool, Parameter(name=["--wait", "-w"], negative="")] = False,
    timeout: str = "60s",
    cli: Injected,
) -> Exit:
    """Write the output of a run as JSON. Exit code 1 when it failed or was cancelled, 75 when it has not ended.

    Of a run that has restarted, the output of the last link of its chain.

    Args:
        wait: Wait until the run has ended.
        timeout: How long to wait, such as 30s or 5m.
    """
    found = cli.call(runs.get, runs.GetRun(id=run, last=True))
    if wait and not found.status.ended:
        try:
            with cli.waiting(f"waiting for {run}"):
                cli.client.runs.wait(run, timeout=duration_ms(timeout) / 1000)
        except DeadlineExceeded:
            cli.note(f"It goes on. To follow it: ironflow run watch {run}", "dim")
        found = cli.call(runs.get, runs.GetRun(id=run, last=True))
    return _show(cli, found)


def _show(cli: Cli, run: Run) -> Exit:
    completed = run.status is RunStatus.COMPLETED
    if cli.json:
        answer = RunResult(
            run_id=run.id, function_id=run.function_id, status=run.status, output=run.output, error=run.error
        )
        cli.show(answer, lambda: "")
    elif completed:
        cli.write(bytes(run.output or b"null") + b"\n")
    elif run.status.ended:
        cli.note(failure_text(run.error) if run.error else f"{run.id} is {run.status}", "red")
    else:
        cli.note(f"{run.id} is {run.status}, and has no output yet", "dim")
    if completed:
        return Exit.OK
    return Exit.FAILED if run.status.ended else Exit.TRY_AGAIN

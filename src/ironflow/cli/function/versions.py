"""`ironflow function versions` and `move-runs`: deploys of new code with runs under way."""

from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.terminal.output import table
from ironflow.cli.terminal.times import since_text
from ironflow.features.deploys import contract
from ironflow.features.deploys.contract import CodeVersion

FunctionId = Annotated[str, Parameter(help="The function's id.")]


def versions(function: FunctionId, /, *, cli: Injected) -> None:
    """Show the versions of a function's code, their workers and runs, and which workers may go."""
    answer = cli.call(contract.versions, contract.ListCodeVersions(function_id=function))
    if not answer.versions:
        cli.note("no workers, and no runs that are pinned to a version", "dim")
    if answer.versions or cli.json:
        now = cli.clock.now()
        cli.show(
            answer,
            lambda: table(
                ["VERSION", "SINCE", "WORKERS", "RUNS", "STATE"],
                (
                    [
                        each.version or "-",
                        since_text(each.first_seen_at, now) if each.first_seen_at else "-",
                        str(each.workers),
                        str(each.runs),
                        _state(each),
                    ]
                    for each in answer.versions
                ),
                right=["WORKERS", "RUNS"],
                whole=["VERSION"],
            ),
        )
    if answer.versions and answer.on_code_change != "pin":
        cli.note(f"Runs are not pinned: on_code_change of {function} is {answer.on_code_change}.", "dim")


def move_runs(
    function: FunctionId,
    /,
    *,
    from_: Annotated[str, Parameter(name="--from")],
    to: str = "",
    reason: str = "",
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    cli: Injected,
) -> None:
    """Move the runs under way of one version of a function's code to another.

    Args:
        from_: The version that the runs are pinned to.
        to: The version to move them to; without it the newest when their next execution begins.
        reason: The reason, stored in the audit trail.
        yes: Do not ask for confirmation.
    """
    where = f"version {to}" if to else "the newest version"
    if not yes and not cli.confirm(f"Move the runs of {function} from version {from_} to {where}?"):
        raise UsageError("No run is moved. Add --yes to move them.")
    request = contract.MoveRuns(function_id=function, from_version=from_, to_version=to, reason=reason)
    answer = cli.call(contract.move_runs, request)
    cli.show(answer, lambda: f"moved {answer.runs} runs to {where}")


def _state(version: CodeVersion) -> Text:
    if version.newest:
        return Text("newest", style="green")
    if version.may_go:
        return Text("may go", style="dim")
    return Text("in use" if version.workers else "no workers", style="" if version.workers else "yellow")

"""`ironflow function versions` and `move-runs`: deploys of new code with runs under way."""

from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import table
from ironflow.cli.terminal.times import moment_text, since_text
from ironflow.features.deploys import contract
from ironflow.features.deploys.contract import CodeVersion
from ironflow.features.functions import contract as functions
from ironflow.features.slots import contract as slots_contract

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


def registrations(function: FunctionId, /, *, limit: Limit = 20, cursor: Cursor = "", cli: Injected) -> None:
    """List the configurations that a function had, the newest first, with their runs under way."""
    request = contract.ListRegistrations(function_id=function, limit=min(limit, 100), cursor=cursor)
    answer = cli.call(contract.registrations, request)
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["VERSION", "SINCE", "CODE", "RUNS", "BY", "REASON"],
            (
                [
                    str(each.version),
                    since_text(each.recorded_at, now),
                    each.code_hash[:7] or "-",
                    str(each.runs),
                    each.actor or "-",
                    each.reason,
                ]
                for each in answer.registrations
            ),
            right=["VERSION", "RUNS"],
        ),
    )
    note_more(cli, answer.next_cursor)


def slots(function: FunctionId, /, *, cli: Injected) -> None:
    """Show which runs hold the slots of a function's limits and actors, and which wait."""
    answer = cli.call(slots_contract.list_, slots_contract.ListSlots(function_id=function))
    if not answer.lanes:
        cli.note("no run holds or waits for a slot", "dim")
    if answer.lanes or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["LIMIT", "KEY", "HELD", "WAITING", "HOLDERS"],
                (
                    [
                        f"{each.kind} {each.scope}".strip(),
                        each.key or "-",
                        f"{each.held} of {each.limit or 'any'}",
                        str(each.waiting),
                        " ".join(each.holders[:3]),
                    ]
                    for each in answer.lanes
                ),
                right=["WAITING"],
            ),
        )


def ticks(function: FunctionId, /, *, limit: Limit = 10, cli: Injected) -> None:
    """List the next times of a function's cron triggers."""
    request = functions.ListFunctionTicks(function_id=function, limit=min(limit, 100))
    answer = cli.call(functions.list_ticks, request)
    now = cli.clock.now()
    if not answer.ticks:
        cli.note("no cron trigger, or the function is not active", "dim")
    if answer.ticks or cli.json:
        cli.show(answer, lambda: "\n".join(f"{moment_text(each.at, now)}  {each.cron}" for each in answer.ticks))


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

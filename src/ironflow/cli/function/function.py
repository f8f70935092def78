"""`ironflow function`: registered functions and their status."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from ironflow.base.duration import duration_text
from ironflow.cli.function import registering
from ironflow.cli.function import versions as code
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import note_more
from ironflow.cli.terminal.output import facts, status_text, table
from ironflow.cli.terminal.times import moment_text, since_text, time_text
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import Function, FunctionStatus, RetryConfig, Trigger

app = App("function", help="List, register, pause and activate functions.")

FunctionId = Annotated[str, Parameter(help="The function's id.")]
app.command(registering.register)
app.command(code.versions)
app.command(code.registrations)
app.command(code.slots)
app.command(code.ticks)
app.command(name="move-runs")(code.move_runs)


@app.command(name="list")
def list_(*, name: str = "", limit: int = 100, cursor: str = "", cli: Injected) -> None:
    """List the registered functions.

    Args:
        name: Only functions with this text in id or name.
        limit: Maximum number of functions, 1 to 1000.
        cursor: Cursor of the next page.
    """
    answer = cli.call(functions.list_, functions.ListFunctions(name=name, limit=limit, cursor=cursor))
    now = cli.clock.now()
    if not answer.functions:
        cli.note("no functions. A worker registers its functions when it starts: ironflow worker app:functions", "dim")
    if answer.functions or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["STATUS", "FUNCTION", "TRIGGERS", "VERSION", "MODE", "UPDATED"],
                (
                    [
                        status_text(each.status),
                        each.id,
                        triggers_text(each.triggers),
                        str(each.version),
                        each.preferred_mode.value,
                        since_text(each.updated_at, now),
                    ]
                    for each in answer.functions
                ),
                right=["VERSION"],
            ),
        )
    note_more(cli, answer.next_cursor)


@app.command
def get(function: FunctionId, /, *, cli: Injected) -> None:
    """Show one function with its settings."""
    found = cli.call(functions.get, functions.GetFunction(id=function))
    cli.show(found, lambda: _details(cli, found))


@app.command
def pause(function: FunctionId, /, *, cli: Injected) -> None:
    """Stop a function from starting new runs. Events are still recorded; its current runs continue."""
    _set(cli, function, FunctionStatus.PAUSED)


@app.command
def activate(function: FunctionId, /, *, cli: Injected) -> None:
    """Allow a paused function to start runs again."""
    _set(cli, function, FunctionStatus.ACTIVE)


@app.command
def delete(function: FunctionId, /, *, cli: Injected) -> None:
    """Delete a function. Its runs stay. A worker that starts registers it again."""
    cli.send(functions.delete, functions.GetFunction(id=function))
    cli.show({"deleted": function}, lambda: f"deleted {function}")


def _set(cli: Cli, function: str, status: FunctionStatus) -> None:
    answer = cli.call(functions.update_status, functions.UpdateFunctionStatus(id=function, status=status))
    cli.show(answer, lambda: f"{answer.id} is {answer.status.value}")


def triggers_text(triggers: Sequence[Trigger]) -> str:
    """The triggers of a function: event names, `cron …`, or `invoke only`."""
    parts = [
        f"cron {each.cron}" + (f" {each.timezone}" if each.timezone else "")
        if each.cron
        else each.event + (f" when {each.expression}" if each.expression else "")
        for each in triggers
    ]
    return ", ".join(parts) or "invoke only"


def retry_text(retry: RetryConfig | None) -> str | None:
    """The retry settings of the function; None when all are the server's defaults."""
    if retry is None:
        return None
    parts = [f"{retry.max_attempts} attempts"] if retry.max_attempts else []
    if retry.initial_delay_ms:
        parts.append(f"first delay {duration_text(retry.initial_delay_ms)}")
    if retry.backoff_factor:
        parts.append(f"growing by {retry.backoff_factor:g}")
    if retry.max_delay_ms:
        parts.append(f"at most {duration_text(retry.max_delay_ms)}")
    if retry.on_exhausted:
        parts.append(f"then {retry.on_exhausted}")
    return ", ".join(parts) or None


def _throttle_text(found: Function) -> str | None:
    limit = found.throttle
    if limit is None or not limit.limit:
        return None
    return f"{limit.limit} starts in {duration_text(limit.period_ms)}" + (f" for each {limit.key}" if limit.key else "")


def _debounce_text(found: Function) -> str | None:
    lane = found.debounce
    if lane is None or not lane.period_ms:
        return None
    latest = f", at most {duration_text(lane.max_wait_ms)}" if lane.max_wait_ms else ""
    return f"{duration_text(lane.period_ms)} of quiet{latest}" + (f" for each {lane.key}" if lane.key else "")


def _details(cli: Cli, found: Function) -> RenderableType:
    now = cli.clock.now()
    limit = found.concurrency
    return facts(
        [
            ("function", found.id),
            ("name", found.name if found.name != found.id else None),
            ("description", found.description),
            ("status", status_text(found.status)),
            ("version", str(found.version)),
            ("triggers", "\n".join(triggers_text([each]) for each in found.triggers) or "invoke only"),
            ("warning", Text("\n".join(found.warnings), style="yellow")),
            ("retry", retry_text(found.retry)),
            ("timeout", duration_text(found.timeout_ms) if found.timeout_ms else None),
            ("concurrency", f"{limit.limit}" + (f" for each {limit.key}" if limit.key else "") if limit else None),
            ("actor key", found.actor_key),
            ("throttle", _throttle_text(found)),
            ("debounce", _debounce_text(found)),
            ("cancel on", "\n".join(f"{each.event} with the same {each.match}" for each in found.cancel_on)),
            ("while paused", "slots are released" if found.pause_behavior == "release" else None),
            ("mode", found.preferred_mode.value),
            ("endpoint", found.endpoint_url),
            ("next run", moment_text(found.next_run, now)),
            ("code", found.code_hash),
            ("created", time_text(found.created_at)),
            ("updated", moment_text(found.updated_at, now)),
        ]
    )

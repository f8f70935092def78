"""`ironflow function`: what is registered, and whether it may start runs."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType

from ironflow.base.duration import duration_text
from ironflow.cli.invocation import Cli, Here
from ironflow.cli.output import facts, status_text, table
from ironflow.cli.pages import say_more
from ironflow.cli.times import moment_text, since_text, time_text
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import Function, FunctionStatus, RetryConfig, Trigger

app = App("function", help="Look at functions, pause and activate them.")

FunctionId = Annotated[str, Parameter(help="The function's id.")]


@app.command(name="list")
def list_(*, name: str = "", limit: int = 100, cursor: str = "", cli: Here) -> None:
    """List the registered functions.

    Args:
        name: Only functions with this text in id or name.
        limit: How many at most, 1 to 1000.
        cursor: Continue after an earlier answer.
    """
    answer = cli.ask(functions.list_, functions.ListFunctions(name=name, limit=limit, cursor=cursor))
    now = cli.clock.now()
    if not answer.functions:
        cli.say("no functions. A worker registers its functions when it starts: ironflow worker app:functions", "dim")
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
    say_more(cli, answer.next_cursor)


@app.command
def get(function: FunctionId, /, *, cli: Here) -> None:
    """Show one function with its settings."""
    found = cli.ask(functions.get, functions.GetFunction(id=function))
    cli.show(found, lambda: _portrait(cli, found))


@app.command
def pause(function: FunctionId, /, *, cli: Here) -> None:
    """Let a function start no new runs. Events keep being recorded, and runs under way go on."""
    _set(cli, function, FunctionStatus.PAUSED)


@app.command
def activate(function: FunctionId, /, *, cli: Here) -> None:
    """Let a paused function start runs again."""
    _set(cli, function, FunctionStatus.ACTIVE)


@app.command
def delete(function: FunctionId, /, *, cli: Here) -> None:
    """Forget a function. Its runs and their history stay; a worker that starts registers it again."""
    cli.tell(functions.delete, functions.GetFunction(id=function))
    cli.show({"deleted": function}, lambda: f"deleted {function}")


def _set(cli: Cli, function: str, status: FunctionStatus) -> None:
    answer = cli.ask(functions.update_status, functions.UpdateFunctionStatus(id=function, status=status))
    cli.show(answer, lambda: f"{answer.id} is {answer.status.value}")


def triggers_text(triggers: Sequence[Trigger]) -> str:
    """What starts a function: event names, `cron …`, or `invoke only`."""
    said = [
        f"cron {each.cron}" + (f" {each.timezone}" if each.timezone else "")
        if each.cron
        else each.event + (f" when {each.expression}" if each.expression else "")
        for each in triggers
    ]
    return ", ".join(said) or "invoke only"


def retry_text(retry: RetryConfig | None) -> str | None:
    """What the function says of retries; None when it leaves everything to the server."""
    if retry is None:
        return None
    said = [f"{retry.max_attempts} attempts"] if retry.max_attempts else []
    if retry.initial_delay_ms:
        said.append(f"first delay {duration_text(retry.initial_delay_ms)}")
    if retry.backoff_factor:
        said.append(f"growing by {retry.backoff_factor:g}")
    if retry.max_delay_ms:
        said.append(f"at most {duration_text(retry.max_delay_ms)}")
    if retry.on_exhausted:
        said.append(f"then {retry.on_exhausted}")
    return ", ".join(said) or None


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


def _portrait(cli: Cli, found: Function) -> RenderableType:
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

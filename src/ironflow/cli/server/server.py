"""`ironflow server`: health, readiness, version and capabilities of the server."""

from cyclopts import App

from ironflow.base.json import json_text
from ironflow.base.spelling import writer
from ironflow.cli.exits import Exit
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, status_text, table
from ironflow.cli.terminal.sizes import read_size, size_text
from ironflow.cli.terminal.times import moment_text, time_text
from ironflow.features.limits import contract as limits_of
from ironflow.features.server_state import contract as server_state
from ironflow.features.server_state.contract import Nothing

app = App("server", help="Show the state of the server.")


@app.command
def health(*, cli: Injected) -> None:
    """Check that the server's process is running."""
    answer = cli.call(server_state.health, Nothing())
    cli.show(
        answer,
        lambda: facts(
            [
                ("status", status_text(answer.status)),
                ("version", answer.version),
                ("time", time_text(answer.timestamp)),
                ("warnings", "\n".join(answer.warnings or [])),
            ]
        ),
    )


@app.command
def ready(*, cli: Injected) -> Exit:
    """Check that the server is ready; exit code 75 when it is not."""
    answer = cli.call(server_state.ready, Nothing())
    problems = [(f"issue: {name}", text) for name, text in answer.issues.items()]
    remarks = [(f"warning: {name}", text) for name, text in answer.warnings.items()]
    cli.show(answer, lambda: facts([("status", status_text(answer.status)), *problems, *remarks]))
    return Exit.TRY_AGAIN if answer.issues else Exit.OK


@app.command
def info(*, cli: Injected) -> None:
    """Show version, start time, size and database of the server."""
    answer = cli.call(server_state.info, Nothing())
    shown = writer(type(answer)).write(answer)
    started = moment_text(answer.started_at, cli.clock.now())
    cli.show(
        answer,
        lambda: facts(
            (name.replace("_", " "), started if name == "started_at" else str(value)) for name, value in shown.items()
        ),
    )


@app.command
def capabilities(*, cli: Injected) -> None:
    """Show the transports and features of the server."""
    answer = cli.call(server_state.capabilities, Nothing())
    cli.show(
        answer,
        lambda: facts(
            [
                ("version", answer.version),
                ("transports", ", ".join(answer.transports)),
                ("features", "\n".join(answer.features)),
                ("API key", "required" if answer.auth_required else "not required"),
            ]
        ),
    )


@app.command
def limits(*, limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the limits of keys and environments, with what this node has refused."""
    answer = cli.call(limits_of.list_, limits_of.ListLimits(limit=limit, cursor=cursor))
    cli.show(
        answer,
        lambda: table(
            ["SUBJECT", "REQ/S", "BURST", "OPEN", "EVENTS TODAY", "STORED", "REFUSED"],
            (
                [
                    each.subject,
                    f"{each.requests_per_second:g}" if each.requests_per_second else "",
                    str(each.burst or ""),
                    str(each.connections or ""),
                    _used(each.event_bytes_today, each.event_bytes_per_day),
                    _used(each.stored_bytes_now, each.stored_bytes),
                    str(each.refused),
                ]
                for each in answer.limits
            ),
            right=["REQ/S", "BURST", "OPEN", "EVENTS TODAY", "STORED", "REFUSED"],
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def set_limit(
    subject: str,
    /,
    *,
    requests_per_second: float = 0,
    burst: int = 0,
    connections: int = 0,
    event_bytes_per_day: str = "",
    stored_bytes: str = "",
    cli: Injected,
) -> None:
    """Set the limits of a key or an environment, on each node.

    Args:
        subject: key:ID or env:NAME; with `*` in place of ID or NAME, the limit holds for each that has none of its own.
        requests_per_second: Requests a second on average. Default: unlimited
        burst: Requests at once. Default: those of one second
        connections: Open sockets and streams of a key. Default: unlimited
        event_bytes_per_day: Events of an environment in a day of UTC, such as 500MiB. Default: unlimited
        stored_bytes: Events and KV values of an environment, such as 20GiB. Default: unlimited
    """
    request = limits_of.SetLimit(
        subject=subject,
        requests_per_second=requests_per_second,
        burst=burst,
        connections=connections,
        event_bytes_per_day=read_size(event_bytes_per_day) if event_bytes_per_day else 0,
        stored_bytes=read_size(stored_bytes) if stored_bytes else 0,
    )
    answer = cli.call(limits_of.set_, request)
    cli.show(answer, lambda: f"set the limits of {answer.subject}")


def _used(used: int | None, limit: int) -> str:
    """What is used of a limit; either may be unknown."""
    if used is None:
        return size_text(limit) if limit else ""
    return f"{size_text(used)} of {size_text(limit)}" if limit else size_text(used)


@app.command
def clear_limit(subject: str, /, *, cli: Injected) -> None:
    """Remove the limits of a key or an environment.

    Args:
        subject: As in `server limits`.
    """
    cli.send(limits_of.delete, limits_of.NamedLimit(subject=subject))
    cli.show({"deleted": subject}, lambda: f"{subject} has no limits")


@app.command
def settings(*, cli: Injected) -> None:
    """Show the settings of the server, and where each value came from."""
    answer = cli.call(server_state.settings, Nothing())
    cli.show(
        answer, lambda: facts((each.name, f"{json_text(each.value)}  ({each.origin})") for each in answer.settings)
    )

"""`ironflow debounce`: pending debounced events, which have not started a run yet."""

from cyclopts import App

from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import note_more
from ironflow.cli.terminal.output import table
from ironflow.cli.terminal.times import since_text
from ironflow.features.debounces import contract as debounces

app = App("debounce", help="List and cancel pending debounced events.")


@app.command(name="list")
def list_(*, function: str = "", limit: int = 100, cursor: str = "", cli: Injected) -> None:
    """List the lanes with pending debounced events.

    Args:
        function: Only lanes of this function.
        limit: Maximum number of lanes, 1 to 1000.
        cursor: Cursor of the next page.
    """
    answer = cli.call(debounces.list_, debounces.ListDebounces(function_id=function, limit=limit, cursor=cursor))
    now = cli.clock.now()
    if not answer.entries:
        cli.note("no pending debounced events", "dim")
    if answer.entries or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["LANE", "FUNCTION", "KEY", "EVENTS", "LAST EVENT", "SINCE", "STARTS"],
                (
                    [
                        each.id,
                        each.function_id,
                        each.key,
                        str(each.events),
                        each.event_id,
                        since_text(each.first_at, now),
                        since_text(each.fire_at, now),
                    ]
                    for each in answer.entries
                ),
                right=["EVENTS"],
            ),
        )
    note_more(cli, answer.next_cursor)


def _lane(cli: Cli, function: str, key: str) -> str:
    """The id of a function's lane. Raises UsageError."""
    cursor = ""
    while True:
        asked = debounces.ListDebounces(function_id=function, limit=1000, cursor=cursor)
        answer = cli.call(debounces.list_, asked)
        for each in answer.entries:
            if each.function_id == function and each.key == key:
                return each.id
        if not answer.next_cursor:
            raise debounces.DebounceNotFound(f"function {function} has no pending debounce of key {key!r}.")
        cursor = answer.next_cursor


@app.command
def cancel(lane: str, key: str | None = None, /, *, cli: Injected) -> None:
    """Discard a lane: its events start no run. The events stay in the log.

    Args:
        lane: The lane's id, such as deb_06DGK3…, or its function, with the key.
        key: The key of a function's lane; "" for that of a function without keys.
    """
    if key is not None:
        lane = _lane(cli, lane, key)
    cli.send(debounces.cancel, debounces.CancelDebounce(id=lane))
    cli.show({"cancelled": lane}, lambda: f"cancelled {lane}")

"""`ironflow debounce`: events that are being gathered and have not started a run yet."""

from cyclopts import App

from ironflow.cli.invocation import Here
from ironflow.cli.output import table
from ironflow.cli.pages import say_more
from ironflow.cli.times import since_text
from ironflow.features.debounces import contract as debounces

app = App("debounce", help="Look at gathered events that have not started a run yet, forget them.")


@app.command(name="list")
def list_(*, function: str = "", limit: int = 100, cursor: str = "", cli: Here) -> None:
    """List the lanes in which events are being gathered.

    Args:
        function: Only lanes of this function.
        limit: How many at most, 1 to 1000.
        cursor: Continue after an earlier answer.
    """
    answer = cli.ask(debounces.list_, debounces.ListDebounces(function_id=function, limit=limit, cursor=cursor))
    now = cli.clock.now()
    if not answer.entries:
        cli.say("no events are being gathered", "dim")
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
    say_more(cli, answer.next_cursor)


@app.command
def cancel(lane: str, /, *, cli: Here) -> None:
    """Forget the gathered events of a lane: they start no run. The events themselves stay recorded.

    Args:
        lane: The lane's id, such as deb_06DGK3….
    """
    cli.tell(debounces.cancel, debounces.CancelDebounce(id=lane))
    cli.show({"cancelled": lane}, lambda: f"cancelled {lane}")

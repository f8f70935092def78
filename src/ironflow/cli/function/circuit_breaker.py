"""`ironflow circuit-breaker`: endpoints of push functions that are not called because they failed."""

from cyclopts import App

from ironflow.cli.invocation import Injected
from ironflow.cli.pages import note_more
from ironflow.cli.terminal.output import table
from ironflow.cli.terminal.times import since_text
from ironflow.features.endpoints import contract as endpoints

app = App("circuit-breaker", help="List and reset the circuit breakers of push functions' endpoints.")


@app.command(name="list")
def list_(*, limit: int = 100, cursor: str = "", cli: Injected) -> None:
    """List the endpoints of push functions with their circuit breakers.

    Args:
        limit: Maximum number of endpoints, 1 to 1000.
        cursor: Cursor of the next page.
    """
    answer = cli.call(endpoints.list_, endpoints.ListBreakers(limit=limit, cursor=cursor))
    now = cli.clock.now()
    if not answer.circuit_breakers:
        cli.note("no endpoints. Register functions that an application serves: ironflow register URL", "dim")
    if answer.circuit_breakers or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["STATE", "ENDPOINT", "FUNCTIONS", "FAILURES", "TRIED AGAIN", "LAST ERROR"],
                (
                    [
                        each.state,
                        each.endpoint,
                        ", ".join(each.functions),
                        str(each.failures),
                        since_text(each.until, now),
                        each.error or "",
                    ]
                    for each in answer.circuit_breakers
                ),
                right=["FAILURES"],
            ),
        )
    note_more(cli, answer.next_cursor)


@app.command
def reset(endpoint: str, /, *, cli: Injected) -> None:
    """Close a circuit breaker: the endpoint is called again at once.

    Args:
        endpoint: URL of the endpoint, or id of a function that is executed there.
    """
    answer = cli.call(endpoints.reset, endpoints.ResetBreaker(endpoint=endpoint))
    cli.show(answer, lambda: f"{answer.endpoint} is called again")

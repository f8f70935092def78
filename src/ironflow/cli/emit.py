"""`ironflow emit`: send an event, and wait for what it starts if asked to."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from ironflow.base.duration import duration_ms
from ironflow.base.json import NULL
from ironflow.cli.exits import Exit
from ironflow.cli.invocation import Cli, Here
from ironflow.cli.output import facts, json_line, status_text, table
from ironflow.cli.payload import read_data
from ironflow.cli.times import span_text
from ironflow.features.events import contract as events
from ironflow.features.runs.contract import RunResult, RunStatus

app = App("emit")

Data = Annotated[
    str | None,
    Parameter(name=["--data", "-d"], help="JSON, @FILE, or - for standard input.", allow_leading_hyphen=True),
]
Wait = Annotated[bool, Parameter(name=["--wait", "-w"], help="Wait until the run has ended.", negative="")]
Timeout = Annotated[str, Parameter(help="How long to wait, such as 30s or 5m.")]
Key = Annotated[str, Parameter(help="The same key within 7 days answers the first one's ids again.")]

# The server answers at its deadline; the client gives the answer this long to arrive.
SLACK_S = 5.0


@app.default
def emit(
    name: str,
    /,
    *,
    data: Data = None,
    wait: Wait = False,
    timeout: Timeout = "30s",
    idempotency_key: Key = "",
    version: int = 1,
    metadata: str | None = None,
    cli: Here,
) -> Exit:
    """Emit an event; every function whose trigger matches starts a run.

    With --wait the exit code is 1 when a run failed, and 75 when one has not ended in time.

    Args:
        name: The event's name, such as order.placed.
        version: Version of the data's shape.
        metadata: A JSON object to keep with the event, or @FILE.
    """
    payload = read_data(data, cli.stdin) if data is not None else NULL
    about = read_data(metadata, cli.stdin) if metadata is not None else None
    if not wait:
        sent = cli.ask(
            events.emit,
            events.Emit(event=name, data=payload, idempotency_key=idempotency_key, version=version, metadata=about),
        )
        cli.show(sent, lambda: facts([("event", sent.event_id), ("runs", "\n".join(sent.run_ids) or "none")]))
        if not sent.run_ids:
            cli.say(f"No active function is triggered by {name}. The event is recorded.", "dim")
        return Exit.OK
    timeout_ms = duration_ms(timeout)
    with cli.waiting(f"waiting for the runs of {name}"):
        answer = cli.ask(
            events.emit_sync,
            events.EmitSync(
                event=name,
                data=payload,
                idempotency_key=idempotency_key,
                version=version,
                metadata=about,
                timeout_ms=timeout_ms,
            ),
            timeout=timeout_ms / 1000 + SLACK_S,
        )
    cli.show(answer, lambda: results_table(answer.results) if answer.results else facts([("event", answer.event_id)]))
    if not answer.results:
        cli.say(f"No active function is triggered by {name}. The event is recorded.", "dim")
    return exit_of_results(cli, answer.results)


def results_table(results: Sequence[RunResult]) -> RenderableType:
    """How runs ended, one row each; the last column is the output or the error."""
    return table(
        ["STATUS", "RUN", "FUNCTION", "TOOK", "RESULT"],
        (
            [
                status_text(each.status),
                each.run_id,
                each.function_id,
                span_text(each.duration_ms),
                Text(each.error.message, style="red") if each.error else json_line(each.output),
            ]
            for each in results
        ),
        right=["TOOK"],
    )


def exit_of_results(cli: Cli, results: Sequence[RunResult]) -> Exit:
    """FAILED when a run ended badly, else TRY_AGAIN when one has not ended; says how to look at the worst one."""
    for code, bad in (
        (Exit.FAILED, [each for each in results if each.status in (RunStatus.FAILED, RunStatus.CANCELLED)]),
        (Exit.TRY_AGAIN, [each for each in results if each.wait_timed_out or not each.status.ended]),
    ):
        if bad:
            verb = "get" if code is Exit.FAILED else "watch"
            cli.say(f"To look at it: ironflow run {verb} {bad[0].run_id}", "dim")
            return code
    return Exit.OK

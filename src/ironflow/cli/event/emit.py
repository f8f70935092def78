"""`ironflow emit`: emits an event, and waits for the runs that it starts with `--wait`."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from ironflow.base.duration import duration_ms
from ironflow.base.json import NULL
from ironflow.cli.exits import Exit
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.terminal.output import facts, json_line, status_text, table
from ironflow.cli.terminal.payload import read_data_option, read_metadata
from ironflow.cli.terminal.times import span_text
from ironflow.features.events import contract as events
from ironflow.features.runs.contract import RunResult, RunStatus

app = App("emit")

Data = Annotated[
    str | None,
    Parameter(name=["--data", "-d"], help="JSON, @FILE, or - for standard input.", allow_leading_hyphen=True),
]
DataFile = Annotated[
    str | None,
    Parameter(help="A file with the JSON, instead of --data; - for standard input.", allow_leading_hyphen=True),
]
Wait = Annotated[bool, Parameter(name=["--wait", "-w"], help="Wait until the run has ended.", negative="")]
Timeout = Annotated[str, Parameter(help="How long to wait, such as 30s or 5m.")]
Key = Annotated[str, Parameter(help="A repeated key within 7 days returns the first response's ids.")]

# The server answers at its deadline; the client allows this much time for the response to arrive.
SLACK_S = 5.0


@app.default
def emit(
    name: str,
    /,
    *,
    data: Data = None,
    data_file: DataFile = None,
    wait: Wait = False,
    timeout: Timeout = "60s",
    idempotency_key: Key = "",
    version: int = 1,
    metadata: list[str] | None = None,
    cli: Injected,
) -> Exit:
    """Emit an event; every function whose trigger matches starts a run.

    With --wait the exit code is 1 when a run failed, and 75 when one has not ended in time.

    Args:
        name: The event's name, such as order.placed.
        version: Schema version of the data.
        metadata: NAME=VALUE stored with the event, may be repeated; or a JSON object, or @FILE.
    """
    payload = read_data_option(data, data_file, cli.stdin) or NULL
    about = read_metadata(metadata, cli.stdin)
    if not wait:
        sent = cli.call(
            events.emit,
            events.Emit(event=name, data=payload, idempotency_key=idempotency_key, version=version, metadata=about),
        )
        woken = "\n".join(sent.woken_run_ids or ())
        shown = [("event", sent.event_id), ("runs", "\n".join(sent.run_ids) or "none"), ("wakes", woken)]
        cli.show(sent, lambda: facts(shown))
        if not sent.run_ids and not woken:
            cli.note(f"No active function is triggered by {name}. The event is recorded.", "dim")
        return Exit.OK
    timeout_ms = duration_ms(timeout)
    with cli.waiting(f"waiting for the runs of {name}"):
        answer = cli.call(
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
        cli.note(f"No active function is triggered by {name}. The event is recorded.", "dim")
    return exit_of_results(cli, answer.results)


def results_table(results: Sequence[RunResult]) -> RenderableType:
    """The results of runs, one row each; the last column is the output or the error."""
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
        whole=["RUN"],
    )


def exit_of_results(cli: Cli, results: Sequence[RunResult]) -> Exit:
    """FAILED when a run failed or was cancelled, else TRY_AGAIN when one has not ended. Shows how to inspect it."""
    for code, bad in (
        (Exit.FAILED, [each for each in results if each.status in (RunStatus.FAILED, RunStatus.CANCELLED)]),
        (Exit.TRY_AGAIN, [each for each in results if each.wait_timed_out or not each.status.ended]),
    ):
        if bad:
            verb = "get" if code is Exit.FAILED else "watch"
            cli.note(f"To inspect it: ironflow run {verb} {bad[0].run_id}", "dim")
            return code
    return Exit.OK


def start_run(cli: Cli, request: events.Invoke) -> Exit:
    """Starts one run of a function, and shows its ids."""
    sent = cli.call(events.invoke, request)
    cli.show(sent, lambda: facts([("run", sent.run_id), ("event", sent.event_id)]))
    return Exit.OK


def invoke_and_wait(cli: Cli, request: events.InvokeSync) -> Exit:
    """Starts one run of a function, waits for its end within the request's time-out, and shows its result."""
    with cli.waiting(f"waiting for {request.function_id}"):
        answer = cli.call(events.invoke_sync, request, timeout=request.timeout_ms / 1000 + SLACK_S)
    cli.show(answer, lambda: results_table([answer.result]))
    return exit_of_results(cli, [answer.result])

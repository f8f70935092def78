"""`ironflow invoke`: start one run of one function, whatever its triggers."""

from cyclopts import App

from ironflow.base.duration import duration_ms
from ironflow.base.json import NULL
from ironflow.cli.emit import SLACK_S, Data, Key, Timeout, Wait, exit_of_results, results_table
from ironflow.cli.exits import Exit
from ironflow.cli.invocation import Here
from ironflow.cli.output import facts
from ironflow.cli.payload import read_data
from ironflow.features.events import contract as events

app = App("invoke")


@app.default
def invoke(
    function: str,
    /,
    *,
    data: Data = None,
    wait: Wait = False,
    timeout: Timeout = "30s",
    idempotency_key: Key = "",
    cli: Here,
) -> Exit:
    """Start one run of one function, whatever its triggers.

    With --wait the exit code is 1 when the run failed, and 75 when it has not ended in time.

    Args:
        function: The function's id.
    """
    payload = read_data(data, cli.stdin) if data is not None else NULL
    if not wait:
        sent = cli.ask(
            events.invoke, events.Invoke(function_id=function, data=payload, idempotency_key=idempotency_key)
        )
        cli.show(sent, lambda: facts([("run", sent.run_id), ("event", sent.event_id)]))
        return Exit.OK
    timeout_ms = duration_ms(timeout)
    with cli.waiting(f"waiting for {function}"):
        answer = cli.ask(
            events.invoke_sync,
            events.InvokeSync(
                function_id=function, data=payload, idempotency_key=idempotency_key, timeout_ms=timeout_ms
            ),
            timeout=timeout_ms / 1000 + SLACK_S,
        )
    cli.show(answer, lambda: results_table([answer.result]))
    return exit_of_results(cli, [answer.result])

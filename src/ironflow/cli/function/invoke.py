"""`ironflow invoke`: starts one run of a function, independent of its triggers."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from ironflow.base.duration import duration_ms
from ironflow.base.json import NULL
from ironflow.cli.event.emit import Data, DataFile, Key, Timeout, invoke_and_wait, start_run
from ironflow.cli.exits import Exit
from ironflow.cli.invocation import Injected
from ironflow.cli.terminal.payload import read_data_option
from ironflow.features.events import contract as events

app = App("invoke")


@app.default
def invoke(
    function: str,
    /,
    *,
    data: Data = None,
    data_file: DataFile = None,
    wait: Annotated[bool, Parameter(name=["--wait", "-w"], negative="--no-wait")] = True,
    timeout: Timeout = "30s",
    idempotency_key: Key = "",
    key: str = "",
    if_running: Literal["use", "refuse", "replace"] = "use",
    cli: Injected,
) -> Exit:
    """Start one run of a function, independent of its triggers, and wait for its end.

    The exit code is 1 when the run failed, and 75 when it has not ended in time.

    Args:
        function: The function's id.
        key: Key of the run: unique among the function's runs that have not ended.
        if_running: When a run has the key: use it, refuse to start, or replace it.
        wait: Wait until the run has ended; --no-wait only starts it.
    """
    how = if_running if key else ""
    payload = read_data_option(data, data_file, cli.stdin) or NULL
    if not wait:
        request = events.Invoke(
            function_id=function, data=payload, idempotency_key=idempotency_key, key=key, if_running=how
        )
        return start_run(cli, request)
    return invoke_and_wait(
        cli,
        events.InvokeSync(
            function_id=function,
            data=payload,
            idempotency_key=idempotency_key,
            timeout_ms=duration_ms(timeout),
            key=key,
            if_running=how,
        ),
    )

"""`ironflow serve`: one server on one port."""

import threading
import webbrowser
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ironflow.base.duration import duration_ms
from ironflow.base.version import VERSION
from ironflow.cli.exits import Exit
from ironflow.cli.invocation import Here

app = App("serve")

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warn", "error", "silent"]


@app.default
def serve(
    *,
    port: int | None = None,
    host: str | None = None,
    db: str | None = None,
    dev: bool = False,
    open: Annotated[bool, Parameter(name="--open")] = False,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"])] = None,
    http_server: Literal["h2corn", "granian"] | None = None,
    lease: str | None = None,
    log_level: LogLevel | None = None,
    log_format: LogFormat | None = None,
    cli: Here,
) -> Exit:
    """Start a server.

    What is not given here is taken from the environment (IRONFLOW_PORT, IRONFLOW_DB, …), then from the file, then from
    the defaults. The address is written to standard output once it serves. Ctrl-C and SIGTERM end it when what was
    being asked is answered.

    Args:
        port: Port of everything: REST, RPC, metrics; 0 takes a free one. Default: 9123
        host: Address to listen on. Default: 127.0.0.1
        db: File or postgresql:// address of the database. Default: ironflow.db
        dev: For development: no authentication, and so for this machine only.
        open: Open the server's page in a browser once it is ready.
        file: A YAML file of kind Server with settings.
        http_server: What speaks HTTP.
        lease: How long a worker that says nothing keeps its runs. Default: 90s
        log_level: The least important lines shown. Default: info
        log_format: Log lines as text or as JSON. Default: text
    """
    from ironflow.server.run import serve as run_server
    from ironflow.server.settings import load_settings

    settings = load_settings(
        file,
        port=port,
        host=host,
        db=db,
        dev=dev or None,
        http_server=http_server,
        lease_ms=None if lease is None else duration_ms(lease),
        log_level=log_level,
        log_format=log_format,
    )

    def started(address: str) -> None:
        cli.show({"address": address}, lambda: f"Ironflow {VERSION} serves {address}")
        if open:
            # A browser may take its time; the server has other things to do.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    run_server(settings, started)
    return Exit.OK

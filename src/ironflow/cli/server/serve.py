"""`ironflow serve`: one server on one port."""

import os
import threading
import webbrowser
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ironflow.base.duration import duration_ms, duration_text
from ironflow.base.json import write_json
from ironflow.base.settings import Settings
from ironflow.base.target import is_postgres
from ironflow.base.version import VERSION
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Cli, Injected

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
    auth: bool | None = None,
    insecure_no_auth: Annotated[bool, Parameter(negative="")] = False,
    bootstrap_key_file: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    open: Annotated[bool, Parameter(name="--open")] = False,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"])] = None,
    node_id: str | None = None,
    reset: Annotated[bool, Parameter(negative="")] = False,
    nats_url: str = "",
    nats_port: int | None = None,
    pprof: Annotated[bool, Parameter(negative="")] = False,
    http_server: Literal["h2corn", "granian"] | None = None,
    lease: str | None = None,
    log_level: LogLevel | None = None,
    log_format: LogFormat | None = None,
    announce: Annotated[bool, Parameter(negative="", show=False)] = False,
    cli: Injected,
) -> Exit:
    """Start a server.

    A setting that is not given here comes from the file, else from the environment (IRONFLOW_PORT, IRONFLOW_DB, …),
    else from the defaults. The server writes its address to standard output once it accepts requests. On Ctrl-C or
    SIGTERM it answers the open requests and ends.

    Args:
        port: Port for REST, RPC and metrics; 0 takes a free one. Default: 9123
        host: Address to listen on. Default: 127.0.0.1
        db: File or postgresql:// address of the database. Default: ironflow.db
        dev: Development mode without authentication; this machine only.
        auth: Require an API key for every request. Default: yes, except with --dev
        insecure_no_auth: Without authentication (IRONFLOW_AUTH=false), serve other hosts than this machine too.
        bootstrap_key_file: File for the first API key. Default: .ironflow_bootstrap_key.json beside the database
        tls_cert: File with the certificate chain, in PEM; the port then speaks TLS.
        tls_key: File with the certificate's private key, in PEM.
        open: Open the dashboard in a browser once it is ready.
        file: A YAML file of kind Server with settings.
        node_id: Name of this node among those on one PostgreSQL.
        reset: With --dev and a SQLite file: delete the database and the key file first.
        nats_url: Accepted, without effect: nodes meet in PostgreSQL.
        nats_port: Accepted, without effect: nodes meet in PostgreSQL.
        pprof: Accepted, without effect.
        http_server: The HTTP server implementation.
        lease: Time after which a silent worker loses its runs; above two heartbeats of 30s. Default: 90s
        log_level: The lowest level that is logged. Default: info
        log_format: Format of log lines. Default: text
    """
    from ironflow.server.run import serve as run_server
    from ironflow.server.settings import load_settings
    from ironflow.server.unused import unused_flags, unused_keys, unused_variables

    lease_ms = None if lease is None else _lease_ms(lease)
    settings = load_settings(
        file,
        port=port,
        host=host,
        db=db,
        dev=dev or None,
        node=node_id,
        auth=auth,
        insecure_no_auth=insecure_no_auth or None,
        bootstrap_key_file=bootstrap_key_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        http_server=http_server,
        lease_ms=lease_ms,
        log_level=log_level,
        log_format=log_format,
    )

    unused = unused_variables(os.environ, file) | (unused_keys(file, os.environ) if file is not None else {})
    unused |= unused_flags(nats=bool(nats_url) or nats_port is not None, pprof=pprof)
    if reset:
        _reset(cli, settings)

    def started(address: str) -> None:
        if announce:
            # For `dev`, whose terminal shows everything else of this process.
            cli.write(write_json({"address": address}) + b"\n")
        else:
            cli.show({"address": address}, lambda: f"Ironflow {VERSION} serves {address}")
        if open:
            # Starting a browser may block for seconds.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    run_server(settings, started, unused)
    return Exit.OK


def _lease_ms(lease: str) -> int:
    """Raises UsageError for a lease that a healthy worker would lose when one heartbeat is late."""
    from ironflow.sdk.worker.timing import WorkerTiming

    lease_ms, least_ms = duration_ms(lease), int(2000 * WorkerTiming().heartbeat)
    if lease_ms <= least_ms:
        raise UsageError(
            f"--lease {lease} is not above two heartbeats of a worker ({duration_text(least_ms)}): healthy workers "
            "would lose their runs. Workers with heartbeats of their own take IRONFLOW_LEASE_MS."
        )
    return lease_ms


def _reset(cli: Cli, settings: Settings) -> None:
    """Deletes the local state of a development server, after naming it. Raises UsageError, DatabaseLocked."""
    from ironflow.storage.sqlite_file import lock

    if not settings.dev or is_postgres(settings.db):
        raise UsageError("--reset deletes the database, and so needs --dev and a SQLite file; nothing was deleted.")
    database = Path(settings.db)
    # The lock refuses a file that another server has open.
    held = lock(database) if database.exists() else None
    state = [database, *(Path(f"{database}{suffix}") for suffix in ("-wal", "-shm")), settings.key_file]
    found = [each for each in state if each.exists()]
    # With --json too: what is deleted is always named.
    cli.err.print(f"--reset deletes {', '.join(str(each) for each in found) or 'nothing'}")
    for each in found:
        each.unlink()
    if held is not None:
        os.close(held)

"""`ironflow debug-adapter`: the Debug Adapter Protocol over standard input and output, or TCP."""

import os
import sys
from contextlib import suppress
from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.debugging.dap.adapter import Adapter, Connect, Descriptors, TcpServer
from ironflow.debugging.dap.protocol import Open
from ironflow.sdk.wire.retries import ATTEMPTS_DEFAULT, Retries
from ironflow.sync import Client

app = App("debug-adapter")

LOOPBACK = "127.0.0.1"


@app.default
def debug_adapter(
    *,
    run: str = "",
    port: int | None = None,
    host: Annotated[str, Parameter(negative="")] = LOOPBACK,
    cli: Injected,
) -> None:
    """Serve the Debug Adapter Protocol, for editors: over standard input and output, or over TCP with --port.

    Args:
        run: The run of configurations that name none.
        port: Listen on this TCP port; 0 takes a free one.
        host: The address to listen on. What reaches it acts with the command's API key.
    """
    if port is None:
        over_stdio(cli, run)
    else:
        over_tcp(cli, run, host, port)


def over_stdio(cli: Cli, run: str) -> None:
    """Serves one client on standard input and output."""
    writing = os.dup(sys.stdout.fileno())
    # Anything else that is printed would be taken for a message.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    Adapter(Descriptors(sys.stdin.fileno(), writing), connector(cli), run).serve()


def over_tcp(cli: Cli, run: str, host: str, port: int) -> None:
    """Serves clients until Ctrl-C. Raises UsageError for an address that cannot be used."""
    try:
        server = TcpServer(host, port, connector(cli), run)
    except (OSError, OverflowError) as fault:
        raise UsageError(f"cannot listen on {host}:{port}: {fault}.") from None
    with server, suppress(KeyboardInterrupt):
        cli.out.print(f"debug adapter listens on {server.address}", soft_wrap=True)
        cli.out.file.flush()
        server.serve_forever()


def connector(cli: Cli) -> Connect:
    """Opens a client for a session: what its configuration leaves open is that of the command."""

    def connect(wanted: Open) -> Client:
        return Client(
            wanted.server or cli.url,
            api_key=wanted.api_key or cli.key,
            environment=wanted.environment or cli.environment,
            retries=Retries(attempts=ATTEMPTS_DEFAULT),
        )

    return connect

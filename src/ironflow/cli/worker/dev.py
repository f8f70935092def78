"""`ironflow dev FILE`: a server and a worker that restarts on every save, in one terminal."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App
from rich.text import Text

from ironflow.cli.exits import Exit, Interrupted, UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.process import ServerEnded, interruptible, start_server
from ironflow.cli.worker.load import source_folder
from ironflow.cli.worker.reload import run_reloading
from ironflow.cli.worker.served import LOCAL, Discovery
from ironflow.sync import Client

app = App("dev")

_TICK_S = 0.3


@app.default
def dev(
    file: str | None = None,
    /,
    *,
    endpoint: list[str] | None = None,
    port: int = 9123,
    db: str = "ironflow.db",
    max_concurrent_jobs: int = 10,
    cli: Injected,
) -> int:
    """Start a server and a worker for one file; every save restarts the worker.

    Applications that serve functions with ironflow.serve at /api/ironflow on port 3000, 5000, 8000 or 8080 of this
    machine are found, and their functions registered, again when they change. Without a file there is no worker.
    The worker takes the functions, projections and upcasters of the file. Every Python file in its folder is watched.
    The server runs as with `ironflow serve --dev`: without authentication, for this machine only. Ctrl-C ends both.

    Args:
        file: The file with your functions, such as app.py or app.py:functions.
        endpoint: Address of an application that serves functions, instead of the usual ones; can be repeated.
        port: Port of the server; 0 takes a free one.
        db: File or postgresql:// address of the database.
        max_concurrent_jobs: Maximum number of runs at a time.
    """
    if file is not None and not Path(file.partition(":")[0]).is_file():
        raise UsageError(f"file {file!r} does not exist. Give the file with your functions, such as app.py.")
    folder = source_folder(file) if file is not None else None
    with interruptible() as interruption:
        try:
            with cli.waiting("starting the server"):
                server, url = start_server(["--dev", "--port", str(port), "--db", db, "--log-level", "warn"])
        except ServerEnded as fault:
            return fault.exit_code
        try:
            cli.err.print(_welcome(url, db, folder))
            discovery = _discovery(cli, url, endpoint or LOCAL)

            def keep_running() -> bool:
                discovery.look()
                interruption.check()
                return server.exit_code is None

            if file is None or folder is None:
                while keep_running():
                    time.sleep(_TICK_S)
            else:
                run_reloading(
                    ["worker", file, "--max-concurrent-jobs", str(max_concurrent_jobs), "--show-runs", "--strict"],
                    folder,
                    lambda text: cli.note(text, "dim"),
                    environment={"IRONFLOW_SERVER_URL": url},
                    keep_running=keep_running,
                )
        except (KeyboardInterrupt, Interrupted):
            interruption.by = ""
            return Exit.OK
        finally:
            server.stop()
        return server.exit_code or Exit.FAILED


def _discovery(cli: Cli, url: str, endpoints: Sequence[str]) -> Discovery:
    client = Client(url)
    key = os.environ.get("IRONFLOW_SIGNING_KEY", "")
    return Discovery(endpoints, key, client.functions.register, lambda text: cli.note(text, "dim"))


def _welcome(url: str, db: str, folder: Path | None) -> Text:
    lines = Text("Ironflow dev\n", style="bold")
    watching = f"{folder}, a save restarts the worker" if folder is not None else "endpoints of this machine"
    for name, value in (("server", url), ("database", db), ("watching", watching)):
        lines.append(f"  {name:<10}", style="dim not bold").append(f"{value}\n", style="not bold")
    return lines

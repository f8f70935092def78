"""`ironflow dev FILE`: a server, a worker and a restart on every save, in one terminal."""

from pathlib import Path

from cyclopts import App
from rich.text import Text

from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Here
from ironflow.cli.load import source_folder
from ironflow.cli.process import interruptible, start_server
from ironflow.cli.reload import run_reloading

app = App("dev")


@app.default
def dev(
    file: str,
    /,
    *,
    port: int = 9123,
    db: str = "ironflow.db",
    max_concurrent_jobs: int = 10,
    cli: Here,
) -> int:
    """Start a server and a worker for one file, with its upcasters; a save restarts the worker.

    Every Python file beside that file is watched. The server runs as with `ironflow serve --dev`: without
    authentication, for this machine only. Ctrl-C ends both.

    Args:
        file: The file with your functions, such as app.py; app.py:functions names a list in it.
        port: Port of the server; 0 takes a free one.
        db: File or postgresql:// address of the database.
        max_concurrent_jobs: How many runs the worker works on at the same time.
    """
    if not Path(file.partition(":")[0]).is_file():
        raise UsageError(f"there is no file {file!r}. Write the file with your functions, such as app.py.")
    folder = source_folder(file)
    with interruptible():
        with cli.waiting("starting the server"):
            server, url = start_server(["--dev", "--port", str(port), "--db", db, "--log-level", "warn"])
        try:
            cli.err.print(_welcome(url, db, folder))
            run_reloading(
                ["worker", file, "--max-concurrent-jobs", str(max_concurrent_jobs)],
                folder,
                lambda text: cli.say(text, "dim"),
                environment={"IRONFLOW_SERVER_URL": url},
                go_on=lambda: server.exit_code is None,
            )
        except KeyboardInterrupt:
            return Exit.OK
        finally:
            server.stop()
        return server.exit_code or Exit.FAILED


def _welcome(url: str, db: str, folder: Path) -> Text:
    said = Text("Ironflow dev\n", style="bold")
    for name, value in (("server", url), ("database", db), ("watching", f"{folder}, a save restarts the worker")):
        said.append(f"  {name:<10}", style="dim not bold").append(f"{value}\n", style="not bold")
    return said

"""`ironflow serve --dev` in a process of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ironflow.cli.process import start_server


@contextmanager
def a_dev_server(folder: Path) -> Iterator[str]:
    """The address of a server on a new SQLite file in `folder`, where it writes its log; it ends with the block."""
    with (folder / "log").open("wb") as log:
        process, url = start_server(["--dev", "--port", "0", "--db", str(folder / "test.db")], output=log)
        try:
            yield url
        finally:
            process.stop()

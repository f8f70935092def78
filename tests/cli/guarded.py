"""A server that was started without --dev, for tests of the commands that need a key.

A test module imports `guarded` and `server`; the latter stands in for the one without authentication.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ironflow.cli.process import start_server


class Guarded:
    """folder: of its database, its log and its first key."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    @property
    def key_file(self) -> Path:
        return self.folder / ".ironflow_bootstrap_key.json"

    @property
    def key(self) -> str:
        """The key of the operator."""
        return key_of(self.key_file)


def key_of(file: Path) -> str:
    return file.read_text().split('"')[3]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    with (folder / "log").open("wb") as log:
        process, url = start_server(["--port", "0", "--db", str(folder / "test.db")], output=log)
        try:
            yield Guarded(folder, url)
        finally:
            process.stop()


@pytest.fixture(scope="module")
def server(guarded: Guarded) -> str:
    """Its address."""
    return guarded.url

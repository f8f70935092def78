"""A real server process on a free port, for tests that need a socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.crash.processes import Process
from tests.support.waiting import eventually


class Server:
    """address: `http://127.0.0.1:port`. log: what it wrote to stderr."""

    def __init__(self, process: Process) -> None:
        self._process = process
        eventually(lambda: process.output.read_bytes().endswith(b"\n") or process.exit_code is not None)
        assert process.exit_code is None, process.log.read_text()
        self.address: str = msgspec.json.decode(process.output.read_bytes())["address"]

    @property
    def host_and_port(self) -> tuple[str, int]:
        host, _, port = self.address.removeprefix("http://").partition(":")
        return host, int(port)

    def stop(self, within_s: float = 15.0) -> int:
        """Asks it to end; its exit code. Raises subprocess.TimeoutExpired."""
        return self._process.stop(within_s)

    @property
    def log(self) -> str:
        return self._process.log.read_text()

    @property
    def alive(self) -> bool:
        return self._process.exit_code is None


@contextmanager
def a_server(folder: Path, db: str = "", program: str = "ironflow.server.run", **settings: str) -> Iterator[Server]:
    """A server on a new SQLite file, or on `db`; it ends with the block, by being asked to.

    program: the module that is run. settings: IRONFLOW_….
    """
    environment = {"IRONFLOW_DB": db or str(folder / "ironflow.db"), "IRONFLOW_PORT": "0", "IRONFLOW_DEV": "true"}
    environment |= {f"IRONFLOW_{name.upper()}": value for name, value in settings.items()}
    process = Process("server", [program], folder, environment)
    try:
        yield Server(process)
        assert process.stop() == 0, process.log.read_text()
    finally:
        process.kill()

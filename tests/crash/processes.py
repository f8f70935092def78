"""Servers and workers as processes, each in a process group of its own: a signal reaches the group and nothing else."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import ironflow

# Where `ironflow` and `tests` are imported from.
PATHS = [str(Path(ironflow.__file__).parents[1]), str(Path(__file__).parents[2])]


class Process:
    """`python -m ARGUMENTS…`; its standard output and error go to the files `output` and `log`."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.output = folder / f"{name}.out"
        self.log = folder / f"{name}.log"
        with self.output.open("wb") as output, self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.leashed", *arguments],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(PATHS), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def kill(self) -> None:
        """`kill -9` of the whole group; returns when the process has ended. Killing an ended process is no error."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def stop(self, within_s: float = 15.0) -> int:
        """Sends SIGTERM; returns the exit code. Raises subprocess.TimeoutExpired."""
        self._signal(signal.SIGTERM)
        return self._process.wait(within_s)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def reserved_port() -> tuple[socket.socket, int]:
    """A loopback port that the system gives to no other process while the socket is open; a server can listen on it.

    A restarted server gets the same port again.
    """
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    return reservation, reservation.getsockname()[1]

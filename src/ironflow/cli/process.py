"""Child processes for `dev`, `--reload` and the demo, and signals as exceptions."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

import msgspec

from ironflow.base.errors import Unavailable
from ironflow.cli.exits import Interrupted, Terminated

GRACE_S = 10.0
READY_WITHIN_S = 30.0


class Child:
    """`ironflow ARGUMENTS…` as a process in its own session: Ctrl-C reaches only the parent, which stops its children.
    It ends when the parent does, however that ends.

    output: target of its standard output and error, as in subprocess; None inherits the parent's.
    announces: its standard output is a pipe that `announced` reads.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        output: IO[bytes] | int | None = None,
        folder: Path | None = None,
        announces: bool = False,
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ironflow.cli.child", *arguments],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if announces else output,
            stderr=output,
            cwd=folder,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def announced(self, timeout_s: float) -> bytes:
        """The first line of its standard output; empty when it ended or `timeout_s` passed first."""
        pipe = self._process.stdout
        if pipe is None:
            return b""
        deadline = time.monotonic() + timeout_s
        ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0))
        return pipe.readline() if ready else b""

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, or None if it still runs after `timeout_s`."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._let_go()
        return code

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Sends SIGTERM, and SIGKILL after `grace_s`. Ignores a process that has ended."""
        if self._process.poll() is None:
            self._process.terminate()
            if self.wait(grace_s) is None:
                self._process.kill()
        self._reap()

    def kill(self) -> None:
        """`kill -9`; returns when the process is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._reap()

    def _reap(self) -> None:
        self._process.wait()
        self._let_go()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _let_go(self) -> None:
        """Closes the pipe by which the process knows that its parent is there."""
        if self._process.stdin is not None:
            self._process.stdin.close()


class ServerEnded(Unavailable):
    """The server ended before it accepted requests; it has written why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the server ended with exit code {exit_code}; its output shows the reason.")
        self.exit_code = exit_code


class Announcement(msgspec.Struct):
    """The line that `ironflow serve --announce` writes once it accepts requests."""

    address: str


def start_server(
    arguments: Sequence[str], output: IO[bytes] | int | None = None, environment: Mapping[str, str] | None = None
) -> tuple[Child, str]:
    """Starts `ironflow serve ARGUMENTS…`; returns it with its address.

    Raises ServerEnded, Unavailable, with no process left.
    """
    # Its clients are children of this process and end first, so a long drain is of no use.
    environment = {"IRONFLOW_SHUTDOWN_MS": "500", **(environment or {})}
    server = Child(["serve", "--announce", *arguments], environment=environment, output=output, announces=True)
    try:
        line = server.announced(READY_WITHIN_S)
        if line:
            return server, msgspec.json.decode(line, type=Announcement).address
    except BaseException:
        server.kill()
        raise
    ended = server.wait(1)
    server.kill()
    if ended is None:
        raise Unavailable(f"the server was not ready within {READY_WITHIN_S:g} s.")
    raise ServerEnded(ended)


class Interruption:
    """Whether a signal has arrived. Python drops an exception of the handler in some places, such as a destructor."""

    def __init__(self) -> None:
        self.by = ""

    def check(self) -> None:
        """Raises Interrupted when a signal has arrived; for long loops."""
        if self.by:
            kind = Terminated if self.by == "SIGTERM" else Interrupted
            raise kind(f"interrupted by {self.by}")


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Raises Interrupted in the body on SIGTERM and SIGHUP, so that cleanup runs as it does for Ctrl-C."""
    interruption = Interruption()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interruption.by = signal.Signals(number).name
        interruption.check()

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield interruption
        interruption.check()
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

"""Processes of ours that are started and surely ended: by `dev`, by `--reload`, by the demo."""

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
from ironflow.cli.exits import Interrupted

GRACE_S = 10.0
READY_WITHIN_S = 30.0


class Child:
    """`ironflow WORDS…` as a process in a session of its own, so that Ctrl-C reaches only us and we end it in order.

    output: where its standard output and error go, as subprocess takes it; None shares ours.
    announces: its standard output is kept for us.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        output: IO[bytes] | int | None = None,
        folder: Path | None = None,
        announces: bool = False,
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ironflow", *words],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
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
        """None while it lives; negative for the signal that ended it."""
        return self._process.poll()

    def announced(self, timeout_s: float) -> bytes:
        """What it has written to standard output first; empty when it ended or `timeout_s` passed before."""
        said = self._process.stdout
        if said is None:
            return b""
        deadline = time.monotonic() + timeout_s
        ready, _, _ = select.select([said], [], [], max(deadline - time.monotonic(), 0))
        return said.readline() if ready else b""

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, or None if it still lives after `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Asks it to end, and ends it when it has not after `grace_s`. Ending what has ended is no error."""
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
        if self._process.stdout is not None:
            self._process.stdout.close()


class Announcement(msgspec.Struct):
    """What `ironflow serve --json` writes once it serves."""

    address: str


def start_server(words: Sequence[str], output: IO[bytes] | int | None = None) -> tuple[Child, str]:
    """`ironflow serve WORDS…` and its address, once it serves. Raises Unavailable, with nothing left running."""
    # Its clients are ours and go first: nothing is worth waiting for when it stops.
    environment = {"IRONFLOW_SHUTDOWN_MS": "500"}
    server = Child(["serve", "--json", *words], environment=environment, output=output, announces=True)
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
        raise Unavailable(f"the server did not serve within {READY_WITHIN_S:g} s.")
    raise Unavailable(f"the server ended with exit code {ended}; it has said why.")


class Interruption:
    """Whether a signal has come. What its handler raises is lost where Python lets nothing out, as in a destructor."""

    def __init__(self) -> None:
        self.by = ""

    def check(self) -> None:
        """Raises Interrupted when a signal has come; for loops that go on for long."""
        if self.by:
            raise Interrupted(f"ended by {self.by}")


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turns SIGTERM and SIGHUP into Interrupted inside, so that clean-up runs for them as it does for Ctrl-C."""
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

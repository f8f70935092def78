"""Evaluates expressions that may be dear in a process of its own, which can be given up.

The library holds the GIL while it evaluates, so neither a thread nor a timer could end it. The process reads requests
from its standard input, each a length and JSON `[source, values]`, and answers each with one byte.
"""

import contextlib
import os
import select
import struct
import subprocess
import sys
import threading
import time
from typing import Any

import msgspec

from ironflow.base import cel
from ironflow.base.cel import TookTooLong
from ironflow.base.lifecycle import Lifecycle

# The time of a processor that one evaluation may take. Others of the same event loop wait as long; on a busy machine,
# where the process gets no processor, up to PATIENCE_S.
DEADLINE_S = 0.04
PATIENCE_S = 0.5
_LOOK_EVERY_S = 0.02
# Starting takes about a third of a second.
START_S = 10.0
_MEMORY_BYTES_MAX = 1 << 30
_HEAD = struct.Struct("!I")
_READY, _TRUE, _FALSE = b"r", b"1", b"0"


def _processor_s(pid: int) -> float:
    """The processor's time that a process has used; where the system does not say it, the time of day."""
    try:
        # The clock of another process on Linux: CPUCLOCK_SCHED of include/linux/posix-timers.h.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return time.monotonic()


class _Process:
    """One process. It is ready when it has sent its first byte."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ironflow.server.expressions"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for the server, which then ends this one.
            start_new_session=True,
        )
        self._is_ready = False

    def ask(self, request: bytes) -> bool:
        """Raises TookTooLong."""
        if not self._is_ready:
            self._is_ready = self._answer(START_S, START_S) == _READY
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(_HEAD.pack(len(request)) + request)
            stdin.flush()
        except OSError as fault:
            raise TookTooLong from fault
        return self._answer(DEADLINE_S, max(PATIENCE_S, DEADLINE_S)) == _TRUE

    def _answer(self, work_s: float, within_s: float) -> bytes:
        """The next byte. work_s: the processor's time until then, within_s: all time."""
        stdout = self._process.stdout
        assert stdout is not None
        began, worked = time.monotonic(), _processor_s(self._process.pid)
        ready: list[Any] = []
        while not ready:
            if time.monotonic() - began >= within_s or _processor_s(self._process.pid) - worked >= work_s:
                raise TookTooLong
            ready, _, _ = select.select([stdout], [], [], min(_LOOK_EVERY_S, within_s))
        answer = os.read(stdout.fileno(), 1)
        if not answer:
            raise TookTooLong
        return answer

    def end(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()


class Evaluator(Lifecycle):
    """A process and a spare one, so that the next expression does not wait for a start. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[_Process] = []

    def prepare(self) -> None:
        """Starts the processes; returns at once."""
        with self._lock:
            while len(self._processes) < 2:
                self._processes.append(_Process())

    def matches(self, source: str, values: bytes) -> bool:
        """Whether the expression is true. values: JSON. Raises TookTooLong."""
        self.prepare()
        request = b"[" + msgspec.json.encode(source) + b"," + values + b"]"
        with self._lock:
            try:
                return self._processes[0].ask(request)
            except TookTooLong:
                self._processes.pop(0).end()
                # It starts while the spare one answers.
                self._processes.append(_Process())
                raise

    async def stop(self) -> None:
        if cel.elsewhere() is self:
            cel.evaluate_dear(None)
        self.close()

    def close(self) -> None:
        with self._lock:
            for process in self._processes:
                process.end()
            self._processes.clear()


def serve() -> None:
    """What the process does, until its standard input ends."""
    import resource

    from ironflow.base import cel

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))
    # Loads the library.
    cel.expression("true").evaluate({})
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    stdout.write(_READY)
    stdout.flush()
    while head := stdin.read(_HEAD.size):
        source, values = msgspec.json.decode(stdin.read(_HEAD.unpack(head)[0]), type=tuple[str, dict[str, Any]])
        stdout.write(_TRUE if cel.expression(source).evaluate(values) else _FALSE)
        stdout.flush()


if __name__ == "__main__":
    serve()

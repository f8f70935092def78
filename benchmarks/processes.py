"""The processes of a benchmark: its own servers and workers, on its own file, stopped at its end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import ironflow

_PATHS = [str(Path(ironflow.__file__).parents[1]), str(Path(__file__).parents[1])]
READY_WITHIN_S = 30.0


class Process:
    """`python -m ARGUMENTS…` in its own session; its first line of output announces that it is ready."""

    def __init__(self, arguments: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.begun_at = time.perf_counter()
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_PATHS), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def announced(self) -> dict[str, str]:
        """Its first line, a JSON object. Raises RuntimeError when it ends without one."""
        pipe = self._process.stdout
        assert pipe is not None
        async with asyncio.timeout(READY_WITHIN_S):
            line = await asyncio.get_running_loop().run_in_executor(None, pipe.readline)
        if not line:
            raise RuntimeError(f"{self._process.args} did not start: {self._log.read_text()[-2000:]}")
        return json.loads(line)

    def memory_bytes(self) -> int:
        """Resident memory that is the process's own (not files that it maps)."""
        return _status_kb(self.pid, "RssAnon") * 1024

    def resident_bytes(self) -> int:
        return _status_kb(self.pid, "VmRSS") * 1024

    def cpu_seconds(self) -> float:
        """CPU time used so far, by all its threads.

        By the clock of the process (clock_getcpuclockid(3)): /proc rounds to hundredths of a second.
        """
        return time.clock_gettime(~self.pid << 3 | 2)

    def kill(self) -> None:
        """Sends SIGKILL; returns when the process has ended."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Sends SIGTERM, and SIGKILL after ten seconds."""
        try:
            self._end(signal.SIGTERM, within_s=10)
        except subprocess.TimeoutExpired:
            self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals, within_s: float | None = None) -> None:
        if self._process.poll() is None:
            os.killpg(self.pid, number)
            self._process.wait(within_s)
        if self._process.stdout is not None:
            self._process.stdout.close()


def _status_kb(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc says no {name}")


class Workspace:
    """The folder and the processes of one benchmark. All of its processes end with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[Process] = []
        self._number = 0

    async def server(self, module: str = "ironflow.server.run", **settings: str) -> tuple[Process, str]:
        """A server on the workspace's file, and its address. settings: IRONFLOW_… settings by name."""
        environment = {"IRONFLOW_DB": str(self.folder / "bench.db"), "IRONFLOW_PORT": "0", "IRONFLOW_DEV": "true"}
        environment |= {f"IRONFLOW_{name.upper()}": value for name, value in settings.items()}
        process = self.start([module], environment)
        return process, (await process.announced())["address"]

    async def worker(self, address: str, *arguments: str, api_key: str = "") -> Process:
        """A worker process, registered."""
        environment = {"IRONFLOW_API_KEY": api_key} if api_key else None
        process = self.start(["benchmarks.worker", address, *arguments], environment)
        await process.announced()
        return process

    def start(self, arguments: list[str], environment: Mapping[str, str] | None = None) -> Process:
        self._number += 1
        process = Process(arguments, self.folder / f"process-{self._number}.log", environment)
        self._running.append(process)
        return process

    def close(self) -> None:
        for process in self._running:
            process.kill()


@contextmanager
def open_workspace(folder: Path) -> Iterator[Workspace]:
    found = Workspace(folder)
    try:
        yield found
    finally:
        found.close()

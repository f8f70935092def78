"""The processes of a benchmark: servers and workers of its own, on a file of its own, gone when it ends."""

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
    """`python -m WORDS…` in a session of its own; its first line of output announces that it is ready."""

    def __init__(self, words: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.begun_at = time.perf_counter()
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *words],
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
        said = self._process.stdout
        assert said is not None
        async with asyncio.timeout(READY_WITHIN_S):
            line = await asyncio.get_running_loop().run_in_executor(None, said.readline)
        if not line:
            raise RuntimeError(f"{self._process.args} did not start: {self._log.read_text()[-2000:]}")
        return json.loads(line)

    def memory_bytes(self) -> int:
        """Resident memory that is the process's own (not files that it maps)."""
        return _status_kb(self.pid, "RssAnon") * 1024

    def resident_bytes(self) -> int:
        return _status_kb(self.pid, "VmRSS") * 1024

    def cpu_seconds(self) -> float:
        """Processor time used so far, by all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """`kill -9`; returns when it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Asks it to end, and ends it when it has not after ten seconds."""
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


class Ground:
    """Where one benchmark happens. Everything that it starts ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[Process] = []
        self._number = 0

    async def server(self, module: str = "ironflow.server.run", **settings: str) -> tuple[Process, str]:
        """A server on the ground's file and its address. settings: IRONFLOW_… by their own names."""
        environment = {"IRONFLOW_DB": str(self.folder / "bench.db"), "IRONFLOW_PORT": "0"}
        environment |= {f"IRONFLOW_{name.upper()}": value for name, value in settings.items()}
        process = self.start([module], environment)
        return process, (await process.announced())["address"]

    async def worker(self, address: str, *words: str) -> Process:
        """A worker process, registered."""
        process = self.start(["benchmarks.worker", address, *words])
        await process.announced()
        return process

    def start(self, words: list[str], environment: Mapping[str, str] | None = None) -> Process:
        self._number += 1
        process = Process(words, self.folder / f"process-{self._number}.log", environment)
        self._running.append(process)
        return process

    def close(self) -> None:
        for process in self._running:
            process.kill()


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    found = Ground(folder)
    try:
        yield found
    finally:
        found.close()

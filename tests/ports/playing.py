"""A port as its user runs it: a server, `ironflow worker FILE`, and the file in which services outside record calls."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ironflow import Client
from tests.crash.processes import Process
from tests.crash.scene import Scene
from tests.crash.until import until

PORTS = Path(__file__).parents[2] / "examples" / "ports"
# A polling `ironflow worker` sends heartbeats every 30 s: its lease is longer than a body is slow before it is killed.
# A streaming one sends them as often as the server asks for.
LEASE_S, STREAM_LEASE_S = 3.0, 1.5


class Play(Scene):
    """Actions are those of examples/ports/outside.py."""

    def __init__(self, port: str, folder: Path, *, stream: bool) -> None:
        super().__init__(folder, str(folder / "ironflow.db"), lease_s=STREAM_LEASE_S if stream else LEASE_S)
        self._file = str(PORTS / f"{port}.py")
        self._options = ["--stream"] if stream else []

    def start_worker(self, **settings: str) -> Process:
        self._started += 1
        environment = {"IRONFLOW_SERVER_URL": self.url, "OUTSIDE": str(self.folder), **settings}
        arguments = ["ironflow", "worker", self._file, *self._options]
        worker = Process(f"worker-{self._started}", arguments, self.folder, environment)
        self.workers.append(worker)
        return worker

    # Processes.

    async def kill_all(self) -> None:
        """`kill -9` of the worker and the server; then the server is started again, without a worker."""
        self.kill_worker(self.workers[0])
        self.kill_server()
        await self.start_server()

    async def kill_and_start_all(self) -> None:
        """`kill -9` of both, and a new start of both; nothing is slow any more."""
        self.kill_worker(self.workers[0])
        self.kill_server()
        self.release()
        self.begin_server()
        self.start_worker()
        await self.serving()

    # The services outside.

    def slow(self, action: str, after: int = 0) -> None:
        """Makes calls of `action` do their work and give no answer, but for the first `after`."""
        (self.folder / f"{action}.slow").write_text(str(after))

    def release(self) -> None:
        for each in self.folder.glob("*.slow"):
            each.unlink()

    async def called(self, action: str, times: int = 1) -> None:
        """Returns when there were `times` calls, repeated ones included."""
        await until(lambda: len(self.calls(action)) >= times, f"{action} is called", within_s=40)

    def calls(self, action: str) -> list[dict[str, Any]]:
        path = self.folder / "outside.jsonl"
        # The last line may be half written.
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [call for call in map(json.loads, lines) if call["action"] == action]

    def done(self, action: str) -> list[dict[str, Any]]:
        """The data of the calls that had an effect, oldest first."""
        return [call["data"] for call in self.calls(action) if not call["repeated"]]

    def repeated(self, action: str) -> int:
        """The number of calls whose key was known: bodies that ran again."""
        return sum(call["repeated"] for call in self.calls(action))


@asynccontextmanager
async def playing(port: str, folder: Path, *, stream: bool = False) -> AsyncIterator[tuple[Play, Client]]:
    """A server and a worker that has registered its functions. stream: of a streaming worker."""
    with Play(port, folder, stream=stream) as play:
        await play.start_server()
        play.start_worker()
        async with play.client() as client:
            await play.workers_ready(client)
            yield play, client


async def outcomes(client: Client, run_ids: Iterable[str]) -> list[Any]:
    """The outputs of runs, once they have ended; of one that has not completed its status and the code of its error."""
    ended = [await client.runs.wait(run_id, timeout="40s") for run_id in run_ids]
    return [run.output if run.status == "completed" else (run.status, run.error and run.error.code) for run in ended]

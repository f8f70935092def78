"""The witness: a transport between a worker and the network that records the server's responses in the journal."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from ironflow.sdk.wire.duplex import Duplex
from ironflow.sdk.wire.transport import AiohttpTransport, Answer
from ironflow.sdk.worker.streaming import Connect
from tests.crash.journal import Journal


class WitnessTransport:
    """The SDK's transport, with a journal. executions: the latest execution handed to this process, by run."""

    def __init__(self, url: str, journal: Journal) -> None:
        self.executions: dict[str, int] = {}
        self._inner = AiohttpTransport(url)
        self._journal = journal
        # Job id -> run id, of all jobs ever handed to this process.
        self._runs: dict[str, str] = {}

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Answer:
        answer = await self._inner.request(method, path, headers, body, timeout)
        route = urlsplit(path).path.split("/")
        if route[-1] == "jobs" and answer.status == 200:
            self._taken(msgspec.json.decode(answer.body)["jobs"])
        elif route[-1] == "reports" and answer.status == 200 and body is not None:
            self._judged(msgspec.json.decode(body)["reports"], msgspec.json.decode(answer.body)["results"])
        elif route[-2] == "jobs" and body is not None:
            response = msgspec.json.decode(answer.body) if answer.body else {}
            code = f"{answer.status} {response.get('error')}"
            self._answered(msgspec.json.decode(body), route[-1], answer.status < 300, code)
        return answer

    async def close(self) -> None:
        await self._inner.close()

    def streams(self) -> Connect:
        """Opens the streams of a streaming worker so that the witness reads their frames."""

        async def connect(url: str, path: str, headers: Mapping[str, str], timeout: float) -> Duplex:
            stream = await WatchedDuplex.open(url, path, headers, timeout)
            stream.taken, stream.judged = self._taken, self._judged
            return stream

        return connect

    def _judged(self, reports: list[dict[str, Any]], results: list[dict[str, Any]]) -> None:
        verdicts = {each["job_id"]: each for each in results}
        for report in reports:
            verdict = verdicts[report["job_id"]]
            self._answered(report, report["job_id"], verdict["status"] == "ok", verdict.get("error") or "")

    def _taken(self, jobs: list[dict[str, Any]]) -> None:
        for job in jobs:
            run, execution = job["run_id"], job["execution_seq"]
            self._runs[job["job_id"]] = run
            self.executions[run] = execution
            self._journal.write("taken", run, execution, steps=tuple(step["name"] for step in job["completed_steps"]))

    def _answered(self, report: dict[str, Any], job_id: str, applied: bool, code: str) -> None:
        run = self._runs[job_id]
        steps = tuple(step["name"] for step in report["steps"] if step["status"] == "completed")
        if applied:
            self._journal.write("applied", run, report["execution_seq"], steps=steps, report=report["status"])
        else:
            self._journal.write("refused", run, report["execution_seq"], report=report["status"], code=code)


class WatchedDuplex(Duplex):
    """A worker's stream to a server with batches; it reads the frames in both directions."""

    taken: Callable[[list[dict[str, Any]]], None]
    judged: Callable[[list[dict[str, Any]], list[dict[str, Any]]], None]
    sent: "Frames"
    reports: dict[int, list[dict[str, Any]]]

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        received = Frames()
        async for part in super().chunks():
            for frame in received.feed(part):
                if "jobs" in frame:
                    self.taken(frame["jobs"]["body"]["jobs"])
                elif "verdicts" in frame:
                    number = frame["verdicts"]["number"]
                    self.judged(self.reports.pop(number), frame["verdicts"]["body"]["results"])
            yield part

    def write(self, data: bytes) -> None:
        for frame in self.sent.feed(data):
            if "reports" in frame:
                self.reports[frame["reports"]["number"]] = frame["reports"]["body"]["reports"]
        super().write(data)

    @classmethod
    async def open(cls, url: str, path: str, headers: Mapping[str, str], timeout: float) -> Self:
        made = await super().open(url, path, headers, timeout)
        made.sent, made.reports = Frames(), {}
        return made


class Frames:
    """The JSON messages in a stream's bytes."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, part: bytes) -> list[dict[str, Any]]:
        self._held += part
        found: list[dict[str, Any]] = []
        while len(self._held) >= 5 and len(self._held) >= (end := 5 + int.from_bytes(self._held[1:5], "big")):
            found.append(msgspec.json.decode(self._held[5:end]))
            self._held = self._held[end:]
        return found

"""The witness: stands between a worker and the network and writes down what the server said to it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ironflow.sdk.transport import AiohttpTransport, Answer
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
            verdicts = {each["job_id"]: each for each in msgspec.json.decode(answer.body)["results"]}
            for report in msgspec.json.decode(body)["reports"]:
                verdict = verdicts[report["job_id"]]
                self._answered(report, report["job_id"], verdict["status"] == "ok", verdict.get("error") or "")
        elif route[-2] == "jobs" and body is not None:
            said = msgspec.json.decode(answer.body) if answer.body else {}
            code = f"{answer.status} {said.get('error')}"
            self._answered(msgspec.json.decode(body), route[-1], answer.status < 300, code)
        return answer

    async def close(self) -> None:
        await self._inner.close()

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

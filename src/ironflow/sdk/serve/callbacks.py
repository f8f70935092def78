"""Calls back to the server by which each step is recorded before its handler goes on."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from ironflow.base.errors import IronflowError
from ironflow.features.push import contract as push_contract
from ironflow.sdk.serve.by_address import ByAddress
from ironflow.sdk.values.payload import Raw
from ironflow.sdk.wire.operations import error_in, read_answer
from ironflow.sdk.wire.transport import AiohttpTransport, AsyncTransport
from ironflow.sdk.worker.protocol import ReportAnswer, answers_of
from ironflow.sdk.worker.reporter import BatchReporter, PlainReporter

REQUEST_S = 30.0
_JSON = {"Content-Type": "application/json"}


class CallbackChannel:
    """The ReportChannel of push executions: their fences are the credential."""

    def __init__(self, transport: AsyncTransport, path: str, headers: Mapping[str, str]) -> None:
        self._transport, self._path = transport, path
        self._headers = {**headers, **_JSON}

    async def update(self, job_id: str, update: Raw) -> None:
        answer = (await self.report([update])).get(job_id)
        if answer is not None and answer.fault is not None:
            raise answer.fault

    async def report(self, updates: Sequence[Raw]) -> dict[str, ReportAnswer]:
        body = msgspec.json.encode({"worker": "push", "reports": updates})
        answer = await self._transport.request("POST", self._path, self._headers, body, REQUEST_S)
        if answer.status >= 300:
            raise error_in(answer)
        return answers_of(read_answer(push_contract.report, answer))


class Callbacks:
    """Reporters by address and event loop. server_url: where to call, instead of the address in a request."""

    def __init__(self, server_url: str, headers: Mapping[str, str]) -> None:
        self._server_url = server_url
        self._headers = headers
        self._reporters: ByAddress[tuple[AsyncTransport, BatchReporter]] = ByAddress()

    def reporter(self, url: str) -> BatchReporter:
        base, path = self._server_url, push_contract.REPORTS_PATH
        if not base:
            parts = urlsplit(url)
            base, path = f"{parts.scheme}://{parts.netloc}", parts.path
        found = self._reporters.get(base, path)
        if found is None:
            transport = AiohttpTransport(base)
            reporter = BatchReporter(CallbackChannel(transport, path, self._headers), True)
            found = self._reporters.put((transport, reporter), base, path)
        return found[1]

    async def close(self) -> None:
        """Ends the connections of this event loop."""
        for transport, reporter in self._reporters.pop_all():
            await reporter.close()
            await transport.close()


class Unreported:
    """The ReportChannel of an execution whose answer is its only report; nothing is sent."""

    async def update(self, job_id: str, update: Raw) -> None:
        raise IronflowError("There is no call back.")

    async def report(self, updates: Sequence[Raw]) -> dict[str, ReportAnswer]:
        raise IronflowError("There is no call back.")


PLAIN = PlainReporter(Unreported())

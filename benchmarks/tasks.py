"""How long the tasks of a page keep its main thread, by the CPU time that each takes: a busy machine does not count."""

import asyncio
from types import TracebackType
from typing import Any, Self

_CATEGORIES = "toplevel,devtools.timeline"
# What Chromium calls a task of a thread's loop in a trace.
_TASK = "ThreadControllerImpl::RunTask"


class Tasks:
    """While it is entered, Chromium writes a trace. cpu_ms: of each task of a page's main thread, longest first."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self.cpu_ms: list[float] = []

    @property
    def longest_ms(self) -> float:
        return self.cpu_ms[0]

    async def __aenter__(self) -> Self:
        self._session = await self._browser.new_browser_cdp_session()
        self._events: list[dict[str, Any]] = []
        self._complete = asyncio.Event()
        self._session.on("Tracing.dataCollected", lambda part: self._events.extend(part["value"]))
        self._session.on("Tracing.tracingComplete", lambda _: self._complete.set())
        await self._session.send("Tracing.start", {"categories": _CATEGORIES, "transferMode": "ReportEvents"})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.send("Tracing.end")
        await self._complete.wait()
        await self._session.detach()
        self.cpu_ms = task_times(self._events)
        if error is None and not self.cpu_ms:
            raise RuntimeError("the trace has no task of a page: this Chromium may name them differently")


def task_times(events: list[dict[str, Any]]) -> list[float]:
    """CPU milliseconds of the tasks of main threads of pages, longest first."""
    mains = {
        (each["pid"], each["tid"])
        for each in events
        if each.get("name") == "thread_name" and each["args"].get("name") == "CrRendererMain"
    }
    found = [
        each["tdur"] / 1000
        for each in events
        if each.get("name") == _TASK and "tdur" in each and (each["pid"], each["tid"]) in mains
    ]
    return sorted(found, reverse=True)

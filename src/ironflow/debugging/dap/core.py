"""What every part of a session has: its run, its breakpoints, and its messages to the client; pure."""

from collections.abc import Generator
from typing import Any

from ironflow.debugging.dap.breakpoints import Breakpoints
from ironflow.debugging.dap.changing import Changing
from ironflow.debugging.dap.debugged import DebuggedRun
from ironflow.debugging.dap.inspection import Inspection, failure
from ironflow.debugging.dap.protocol import Flow, Refused, Send, Step

# The body of a response, and what follows it.
Response = tuple[dict[str, Any], Flow | None]
Answering = Generator[Step, Any, Response]


class Core:
    """following: the run is live and goes on, and `poll` is to be called. closed: the client has left."""

    def __init__(self) -> None:
        self.following = False
        self.closed = False
        self._sent = 0
        self._client: dict[str, Any] | None = None
        self._run: DebuggedRun | None = None
        self._breakpoints = Breakpoints()
        self._inspection = Inspection()
        self._changing = Changing()
        self._stepping = False
        self._unreachable = False

    def _stopped_at(self, run: DebuggedRun, number: int, reason: str, ids: list[int] | None = None) -> Flow:
        run.position = number
        yield from self._stopped(reason, ids=ids)

    def _stopped(self, reason: str, description: str = "", ids: list[int] | None = None) -> Flow:
        run = self._debugged
        self.following = self._stepping = False
        self._inspection.moved()
        state = yield from run.state(run.position)
        self._inspection.threads(run, state)
        body: dict[str, Any] = {
            "reason": reason,
            "description": description or run.moment.summary,
            "threadId": self._inspection.thread_of_moment(run),
            "allThreadsStopped": True,
        }
        if reason == "exception":
            body["text"] = failure(state, run.step_id)[1]["message"]
        if ids:
            body["hitBreakpointIds"] = ids
        yield from self._events(("stopped", body))

    def _place_breakpoints(self, run: DebuggedRun) -> Flow:
        """Breakpoints in files whose line is known by now are shown there."""
        for each in self._breakpoints.placed_anew(run.history):
            yield from self._events(
                ("breakpoint", {"reason": "changed", "breakpoint": each.answer(None, self._line_base)})
            )

    @property
    def _debugged(self) -> DebuggedRun:
        if self._run is None:
            raise Refused("`launch` or `attach` comes first.")
        return self._run

    @property
    def _line_base(self) -> int:
        """The number of the client's first line."""
        return 0 if self._client and self._client.get("linesStartAt1") is False else 1

    @property
    def _column_base(self) -> int:
        return 0 if self._client and self._client.get("columnsStartAt1") is False else 1

    def _output(self, line: str, category: str = "console") -> Send:
        return self._send({"type": "event", "event": "output", "body": {"category": category, "output": f"{line}\n"}})

    def _events(self, *events: tuple[str, dict[str, Any]]) -> Flow:
        for name, body in events:
            yield self._send({"type": "event", "event": name, "body": body})

    def _send(self, message: dict[str, Any]) -> Send:
        self._sent += 1
        return Send({"seq": self._sent, **message})

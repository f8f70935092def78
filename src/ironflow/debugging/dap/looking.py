"""Requests that look at the moment where a session stands; pure."""

from typing import Any

from ironflow.base.errors import IronflowError
from ironflow.debugging.dap import arguments as given
from ironflow.debugging.dap.core import Answering, Core
from ironflow.debugging.dap.history_source import HistorySource
from ironflow.debugging.dap.inspection import failure
from ironflow.debugging.expressions import VARIABLES, evaluate
from ironflow.debugging.lines import line_of
from ironflow.features.time_travel.contract import StepState


class Looking(Core):
    """Threads, frames, scopes, variables, expressions, and the history as a document."""

    def _on_threads(self, arguments: dict[str, Any]) -> Answering:
        state = yield from self._debugged.state(self._debugged.position)
        return {"threads": self._inspection.threads(self._debugged, state)}, None

    def _on_stackTrace(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        run = self._debugged
        state = yield from run.state(run.position)
        frames = self._inspection.frames(run, state, given.number(arguments, "threadId"))
        first, levels = given.number(arguments, "startFrame", 0), given.number(arguments, "levels", 0)
        source = self._source.reference
        place_of = {"line": run.position + self._line_base, "column": 1, "source": source}
        shown_frames = [
            {
                "id": each.id,
                "name": each.name,
                "canRestart": each.level != "branch",
                **(place_of if each.step is None else self._called(each.step) or place_of),
            }
            for each in frames
        ]
        return {
            "stackFrames": shown_frames[max(first, 0) :][: levels if levels > 0 else None],
            "totalFrames": len(frames),
        }, None

    def _on_scopes(self, arguments: dict[str, Any]) -> Answering:
        run = self._debugged
        state = yield from run.state(run.position)
        frame = self._inspection.frame(run, state, given.number(arguments, "frameId"))
        scopes = yield from self._inspection.scopes(run, frame)
        return {"scopes": scopes}, None

    def _on_variables(self, arguments: dict[str, Any]) -> Answering:
        yield from ()
        reference = given.number(arguments, "variablesReference")
        start, count = given.number(arguments, "start", 0), given.number(arguments, "count", 0)
        wanted = given.text(arguments, "filter", "")
        return {"variables": self._inspection.references.children(reference, start, count, wanted)}, None

    def _on_evaluate(self, arguments: dict[str, Any]) -> Answering:
        run = self._debugged
        source, context = given.text(arguments, "expression"), given.text(arguments, "context", "")
        if context == "repl" and source.strip().startswith("."):
            answer = yield from self._changing.command(run, source.strip())
            if answer.goes_to is None:
                return {"result": answer.text, "variablesReference": 0}, None
            return {"result": answer.text, "variablesReference": 0}, self._stopped_at(run, answer.goes_to, "goto")
        step_id = ""
        if "frameId" in arguments:
            state = yield from run.state(run.position)
            frame = self._inspection.frame(run, state, given.number(arguments, "frameId"))
            step_id = frame.step.step_id if frame.step is not None else ""
        found = evaluate(source, (yield from run.values(run.position, step_id)))
        return self._changing.result(self._inspection.references, found, whole=context == "clipboard"), None

    def _on_completions(self, arguments: dict[str, Any]) -> Answering:
        run = self._debugged
        typed = given.text(arguments, "text")[: max(given.number(arguments, "column") - self._column_base, 0)]
        values = yield from run.values(run.position)
        parent, dot, _ = typed.rpartition(".")
        names: list[str] = list(VARIABLES)
        if dot:
            value: Any = None
            try:
                value = evaluate(parent, values)
            except IronflowError:
                names = []
            names = [str(name) for name in value if str(name).isidentifier()] if isinstance(value, dict) else []
        return {"targets": [{"label": name, "type": "property"} for name in names[:1000]]}, None

    def _on_exceptionInfo(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        run = self._debugged
        state = yield from run.state(run.position)
        exception_id, details = failure(state, run.step_id if run.moment.failed else "")
        mode = "unhandled" if run.moment.uncaught else "always"
        body = {"exceptionId": exception_id, "description": details["message"], "breakMode": mode, "details": details}
        return body, None

    def _on_source(self, arguments: dict[str, Any]) -> Answering:
        yield from ()
        source = given.mapping(arguments, "source")
        reference = given.number(source or arguments, "sourceReference", 0) or given.number(
            arguments, "sourceReference", 0
        )
        return {"content": self._source.content(reference), "mimeType": "text/plain"}, None

    def _on_loadedSources(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        yield from ()
        return {"sources": [self._source.reference]}, None

    def _on_breakpointLocations(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        yield from ()
        first = given.number(arguments, "line")
        last = given.number(arguments, "endLine", first)
        source = given.mapping(arguments, "source")
        path = given.text(source, "path", "")
        if path and not given.number(source, "sourceReference", 0):
            calling = (line + self._line_base - 1 for line in self._debugged.history.lines(path))
            return {"breakpoints": [{"line": line} for line in calling if first <= line <= last]}, None
        lines = range(max(first, self._line_base), min(last, self._debugged.history.last + self._line_base) + 1)
        return {"breakpoints": [{"line": line} for line in lines]}, None

    def _called(self, step: StepState) -> dict[str, Any] | None:
        """Where the user's program calls the step, in the file as its worker saw it; None where that is not known."""
        line = line_of(step.source)
        if line is None:
            return None
        source = {"name": line.file_name, "path": line.path}
        return {"line": line.number - 1 + self._line_base, "column": 1, "source": source}

    @property
    def _source(self) -> HistorySource:
        return HistorySource(self._debugged.id, self._debugged.history)

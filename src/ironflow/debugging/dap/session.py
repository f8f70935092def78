"""A session of the Debug Adapter Protocol over one run: messages in, messages out; pure.

`handle`, `poll` and `close` are generators. Their caller sends each `Send` to the client, answers each `Ask` with the
server's answer (or throws its error into the generator), and takes each `Open` as the server of what follows.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any

from ironflow.base.errors import ConnectionLost, IronflowError, NotFound
from ironflow.debugging.dap import arguments as given
from ironflow.debugging.dap.breakpoints import FILTERS
from ironflow.debugging.dap.core import Answering
from ironflow.debugging.dap.debugged import DebuggedRun, opened
from ironflow.debugging.dap.looking import Looking
from ironflow.debugging.dap.protocol import Flow, Open, Refused, Rubbish, Step
from ironflow.debugging.dap.walking import Walking
from ironflow.debugging.places import place

CAPABILITIES: dict[str, Any] = {
    "supportsConfigurationDoneRequest": True,
    "supportsFunctionBreakpoints": True,
    "supportsConditionalBreakpoints": True,
    "supportsHitConditionalBreakpoints": True,
    "supportsLogPoints": True,
    "supportsExceptionFilterOptions": True,
    "exceptionBreakpointFilters": FILTERS,
    "supportsExceptionInfoRequest": True,
    "supportsEvaluateForHovers": True,
    "supportsClipboardContext": True,
    "supportsStepBack": True,
    "supportsSetVariable": True,
    "supportsRestartFrame": True,
    "supportsGotoTargetsRequest": True,
    "supportsLoadedSourcesRequest": True,
    "supportsBreakpointLocationsRequest": True,
    "supportsCompletionsRequest": True,
    "supportsDelayedStackTraceLoading": True,
}
# Requests that are answered before there is a run.
_BEFORE_THE_RUN = (
    "launch", "attach", "configurationDone", "disconnect",
    "setBreakpoints", "setFunctionBreakpoints", "setExceptionBreakpoints",
)  # fmt: skip
Handler = Callable[[dict[str, Any]], Answering]


class Session(Looking, Walking):
    """One client. default_run: the run of a `launch` or `attach` that names none."""

    def __init__(self, default_run: str = "") -> None:
        super().__init__()
        self._default_run = default_run
        self._configured = False
        self._begin: Flow | None = None
        self._handlers: dict[str, Handler] = {
            name.removeprefix("_on_"): getattr(self, name) for name in dir(self) if name.startswith("_on_")
        }

    def handle(self, message: Mapping[str, Any] | Rubbish) -> Flow:
        """Answers a message. What is no request causes an output event, and nothing else."""
        if isinstance(message, Rubbish):
            yield self._output(f"A message is unreadable: {message.reason}.", "stderr")
            return
        command, number = message.get("command"), message.get("seq")
        if message.get("type") != "request" or not isinstance(command, str) or not isinstance(number, int):
            if message.get("type") != "response":
                yield self._output("A message is no request: it needs type, seq and command.", "stderr")
            return
        try:
            handler = self._handler(command)
            arguments = message.get("arguments")
            if arguments is not None and not isinstance(arguments, dict):
                raise Refused("the arguments are no object.")
            body, then = yield from handler(arguments or {})
        except IronflowError as fault:
            yield self._send(_refusal(fault, command, number))
            return
        yield self._send({"type": "response", "request_seq": number, "success": True, "command": command, "body": body})
        if then is not None:
            try:
                yield from then
            except IronflowError as fault:
                yield from self._lost(fault)

    def poll(self) -> Flow:
        """Looks what a live run has done since, and stops it at a breakpoint."""
        run = self._run
        if run is None or not self.following:
            return
        try:
            yield from self._follow(run)
        except IronflowError as fault:
            yield from self._lost(fault)

    def close(self) -> Flow:
        """The client has left: a run that this session paused goes on. Raises the server's error."""
        self.closed, self.following = True, False
        if self._run is not None:
            yield from self._run.resume()

    def _handler(self, command: str) -> Handler:
        if command not in self._handlers:
            raise Refused(f"the request {command[:60]!r} is not supported.")
        if command != "initialize" and self._client is None:
            raise Refused("`initialize` comes first.")
        if command != "initialize" and command not in _BEFORE_THE_RUN and self._run is None:
            raise Refused("`launch` or `attach` comes first.")
        return self._handlers[command]

    def _on_initialize(self, arguments: dict[str, Any]) -> Answering:
        yield from ()
        if self._client is not None:
            raise Refused("the session is initialized already.")
        self._client = arguments
        return CAPABILITIES, self._events(("initialized", {}))

    def _on_launch(self, arguments: dict[str, Any]) -> Answering:
        run = yield from self._opened(arguments)
        run.position = place(run.history, run.id, given.text(arguments, "at", "start"))
        if given.flag(arguments, "stopOnEntry", True):
            begin = self._stopped("entry")
        else:
            run.position -= 1
            begin = self._forward(run)
        return {}, self._once_configured(begin)

    def _on_attach(self, arguments: dict[str, Any]) -> Answering:
        run = yield from self._opened(arguments)
        at = given.text(arguments, "at", "")
        run.position = place(run.history, run.id, at or "end")
        live = not at and not run.ended and not run.paused
        return {}, self._once_configured(self._forward(run) if live else self._stopped("entry"))

    def _opened(self, arguments: dict[str, Any]) -> Generator[Step, Any, DebuggedRun]:
        if self._run is not None:
            raise Refused(f"the session has a run already: {self._run.id}.")
        run_id = given.text(arguments, "run", self._default_run)
        if not run_id:
            raise Refused("the configuration needs `run`: the id of a run.", shown=True)
        wanted = [given.text(arguments, name, "") or None for name in ("server", "apiKey", "environment")]
        self._changing.reason = given.text(arguments, "reason", "")
        yield Open(*wanted)
        run = yield from opened(run_id)
        self._run = run
        yield from self._place_breakpoints(run)
        return run

    def _on_configurationDone(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        yield from ()
        self._configured = True
        begin, self._begin = self._begin, None
        return {}, begin

    def _once_configured(self, begin: Flow) -> Flow | None:
        if self._configured:
            return begin
        self._begin = begin
        return None

    def _on_disconnect(self, arguments: dict[str, Any]) -> Answering:
        yield from ()
        self.following = False
        return {}, self.close()

    def _on_setBreakpoints(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        yield from ()
        source = given.mapping(arguments, "source")
        wanted = given.mappings(arguments, "breakpoints")
        if given.number(source, "sourceReference", 0):
            made = self._breakpoints.set_lines(wanted, self._line_base)
        else:
            path = given.text(source, "path", "")
            if not path:
                raise Refused("the source has neither a path nor a reference.")
            history = self._run.history if self._run is not None else None
            made = self._breakpoints.set_file(path, wanted, self._line_base, history)
        return {"breakpoints": [each.answer(source, self._line_base) for each in made]}, None

    def _on_setFunctionBreakpoints(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        yield from ()
        made = self._breakpoints.set_steps(given.mappings(arguments, "breakpoints"))
        return {"breakpoints": [each.answer() for each in made]}, None

    def _on_setExceptionBreakpoints(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        yield from ()
        wanted = [(name, "") for name in given.texts(arguments, "filters")]
        wanted += [
            (given.text(option, "filterId"), given.text(option, "condition", ""))
            for option in given.mappings(arguments, "filterOptions")
        ]
        made = self._breakpoints.set_failures(wanted)
        return {"breakpoints": [each.answer() for each in made]}, None

    def _on_setVariable(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        run = self._debugged
        node = self._inspection.references.node(given.number(arguments, "variablesReference"))
        name, text = given.text(arguments, "name"), given.text(arguments, "value")
        value = yield from self._changing.set_output(run, node, name, text)
        return self._changing.result(self._inspection.references, value, name="value"), self._changed(run)

    def _changed(self, run: DebuggedRun) -> Flow:
        run.position = run.history.last
        if self._client and self._client.get("supportsInvalidatedEvent") is True:
            self._inspection.moved()
            yield from self._events(("invalidated", {"areas": ["all"]}))
        else:
            yield from self._stopped("step")

    def _on_restartFrame(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        run = self._debugged
        state = yield from run.state(run.position)
        frame = self._inspection.frame(run, state, given.number(arguments, "frameId"))
        note = yield from self._changing.restart(run, frame)
        return {}, self._restarted(run, note)

    def _restarted(self, run: DebuggedRun, note: str) -> Flow:
        yield self._output(note, "important")
        yield from run.refresh()
        run.position = run.history.last
        self.following = True
        yield from self._events(("continued", {"threadId": 1, "allThreadsContinued": True}))

    def _lost(self, fault: IronflowError) -> Flow:
        """The server did not answer while the run was followed, or the run is gone."""
        if isinstance(fault, ConnectionLost) or fault.retryable:
            if not self._unreachable:
                self._unreachable = True
                yield self._output(f"{fault.message} Trying again.", "important")
            return
        self.following = False
        yield self._output(fault.message, "stderr")
        if isinstance(fault, NotFound):
            yield from self._events(("terminated", {}))
        else:
            yield from self._events(("stopped", {"reason": "pause", "description": fault.message, "threadId": 1}))


def _refusal(fault: IronflowError, command: str, number: int) -> dict[str, Any]:
    shown_to_user = (isinstance(fault, Refused) and fault.shown) or not isinstance(fault, Refused)
    error = {"id": 1, "format": fault.message.replace("{", "{{"), "showUser": shown_to_user}
    return {
        "type": "response",
        "request_seq": number,
        "success": False,
        "command": command,
        "message": fault.message,
        "body": {"error": error},
    }

"""Requests that move a session through the history of its run, and along with a live run; pure."""

from typing import Any

from ironflow.debugging.dap import arguments as given
from ironflow.debugging.dap.core import Answering, Core
from ironflow.debugging.dap.debugged import DebuggedRun
from ironflow.debugging.dap.moving import Hit, hit, step_back_to, step_to
from ironflow.debugging.dap.protocol import Flow, Refused


class Walking(Core):
    """Steps, continues and pauses."""

    def _on_continue(self, arguments: dict[str, Any]) -> Answering:
        yield from ()
        return {"allThreadsContinued": True}, self._forward(self._debugged)

    def _on_reverseContinue(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        yield from ()
        return {}, self._backward(self._debugged)

    def _on_next(self, arguments: dict[str, Any]) -> Answering:
        return (yield from self._step(arguments))

    def _on_stepIn(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        return (yield from self._step({"threadId": 1}))

    def _on_stepOut(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        return (yield from self._step(arguments, out=True))

    def _on_stepBack(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        yield from ()
        run = self._debugged
        branch = self._inspection.branch(given.number(arguments, "threadId", 1))
        found = step_back_to(run, branch)
        reason = "step" if found is not None else "entry"
        return {}, self._stopped_at(run, 0 if found is None else found, reason)

    def _step(self, arguments: dict[str, Any], *, out: bool = False) -> Answering:
        run = self._debugged
        branch = self._inspection.branch(given.number(arguments, "threadId", 1))
        if run.at_the_end and not run.ended:
            yield from run.refresh()
        found = step_to(run, branch, out=out)
        if found is not None:
            return {}, self._stopped_at(run, found, "step")
        if not run.at_the_end:
            return {}, self._stopped_at(run, run.history.last, "step")
        self._stepping = not run.ended
        return {}, self._forward(run)

    def _on_pause(self, arguments: dict[str, Any]) -> Answering:
        yield from ()
        return {}, self._pause(self._debugged)

    def _on_gotoTargets(self, arguments: dict[str, Any]) -> Answering:  # noqa: N802
        yield from ()
        run = self._debugged
        source = given.mapping(arguments, "source")
        if source and not given.number(source, "sourceReference", 0):
            raise Refused("only lines of the run's history are moments to jump to.")
        number = given.number(arguments, "line") - self._line_base
        if not 0 <= number <= run.history.last:
            return {"targets": []}, None
        target = {"id": number + 1, "label": run.history[number].summary, "line": number + self._line_base}
        return {"targets": [target]}, None

    def _on_goto(self, arguments: dict[str, Any]) -> Answering:
        yield from ()
        run = self._debugged
        number = given.number(arguments, "targetId") - 1
        if not 0 <= number <= run.history.last:
            raise Refused(f"there is no moment {number + 1}; the run has {len(run.history)}.")
        return {}, self._stopped_at(run, number, "goto")

    def _forward(self, run: DebuggedRun) -> Flow:
        """Goes on to the next breakpoint; without one to the end, and on with a live run."""
        yield from self._place_breakpoints(run)
        was_at_the_end = run.at_the_end and run.position >= 0
        for number in range(run.position + 1, len(run.history)):
            found = yield from hit(run, self._breakpoints, number)
            for line in found.logs:
                yield self._output(line)
            if found.stops:
                yield from self._stopped_at_hit(run, number, found)
                return
        run.position = run.history.last
        if not run.ended and run.paused and not run.paused_here:
            yield self._output(f"Run {run.id} is paused. `.resume` lets it go on.", "important")
            yield from self._stopped("pause")
        elif not run.ended:
            yield from run.resume()
            self.following = True
        elif was_at_the_end:
            yield from self._events(("terminated", {}))
        else:
            yield from self._stopped("pause", f"The run has ended: {run.run.status.value}")

    def _stopped_at_hit(self, run: DebuggedRun, number: int, found: Hit) -> Flow:
        run.focus(number, found.step_id)
        yield from self._stopped_at(run, number, found.reason, [each.id for each in found.stops])

    def _backward(self, run: DebuggedRun) -> Flow:
        yield from self._place_breakpoints(run)
        for number in range(run.position - 1, -1, -1):
            found = yield from hit(run, self._breakpoints, number)
            if found.stops:
                yield from self._stopped_at_hit(run, number, found)
                return
        yield from self._stopped_at(run, 0, "entry")

    def _follow(self, run: DebuggedRun) -> Flow:
        yield from run.refresh()
        yield from self._place_breakpoints(run)
        if self._unreachable:
            self._unreachable = False
            yield self._output("The server is there again.", "important")
        for number in range(run.position + 1, len(run.history)):
            found = yield from hit(run, self._breakpoints, number)
            for line in found.logs:
                yield self._output(line)
            run.position = number
            if found.stops or self._stepping:
                yield from run.pause()
                yield from self._stopped_at_hit(run, number, found)
                return
        if run.ended:
            yield from self._stopped("pause", f"The run has ended: {run.run.status.value}")
        elif run.paused:
            yield from self._stopped("pause", "The run is paused")

    def _pause(self, run: DebuggedRun) -> Flow:
        if self.following:
            yield from run.pause()
            yield from run.refresh()
            run.position = run.history.last
        yield from self._stopped("pause")

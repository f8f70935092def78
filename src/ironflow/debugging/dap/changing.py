"""What a session changes: outputs of steps, and where the run goes on. Each change has a reason. Pure."""

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import msgspec

from ironflow.base.json import Json, write_json_text
from ironflow.debugging.dap.debugged import DebuggedRun
from ironflow.debugging.dap.inspection import Frame
from ironflow.debugging.dap.protocol import Ask, Refused, Step
from ironflow.debugging.dap.variables import Node, References, named, replaced, shown, type_of
from ironflow.debugging.places import place
from ironflow.debugging.preview import preview
from ironflow.features.controls import contract as controls

HELP = """\
.goto PLACE     go to start, end, failure, a time, +90s after the creation, or a step
.reason TEXT    the reason of the changes that follow
.why            why the run is not running
.resume         let a paused or failed run go on
.help           this text
Anything else is a path (outputs.reserve.table) or a CEL expression over run, event, steps, outputs, error and step."""
_REASON_NEEDED = (
    "a reason is recorded with the change: write it behind the value, as in `13 // a better table`, "
    "or `.reason TEXT` in the debug console."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a command. goes_to: the moment that it goes to, None where it stays."""

    text: str
    goes_to: int | None = None


class Changing:
    """The changes of one session. reason: of those that name none."""

    def __init__(self) -> None:
        self.reason = ""

    def command(self, run: DebuggedRun, line: str) -> Generator[Step, Any, Answer]:
        """A command of the debug console. Raises Refused."""
        name, _, rest = line.partition(" ")
        match name:
            case ".help":
                return Answer(HELP)
            case ".reason":
                self.reason = rest.strip()
                return Answer(f"reason: {self.reason or 'none'}")
            case ".goto":
                number = place(run.history, run.id, rest)
                return Answer(run.history[number].summary, number)
            case ".why":
                found: controls.Why = yield Ask(controls.why, controls.GetWhy(id=run.id))
                return Answer(found.message)
            case ".resume":
                yield Ask(controls.resume, controls.ResumeRun(run_id=run.id))
                run.paused_here = False
                yield from run.refresh()
                return Answer("resumed; `continue` follows it")
            case _:
                raise Refused(f"there is no command {name!r}; `.help` lists them.")

    def set_output(self, run: DebuggedRun, node: Node, name: str, text: str) -> Generator[Step, Any, Any]:
        """Replaces the output of a step, or a part of it. Returns the new value. Raises Refused."""
        value, reason = _value_and_reason(text)
        part = named(node, name)
        if not part.step_id or part.keys is None:
            raise Refused("only outputs of steps can be set; they are in the scope Outputs.", shown=True)
        reason = reason or self.reason
        if not reason:
            raise Refused(_REASON_NEEDED, shown=True)
        yield from run.refresh()
        if not run.at_the_end:
            raise Refused("the past cannot be changed: go to the last moment, with `.goto end`.", shown=True)
        state = yield from run.state(run.position)
        step = next((each for each in state.steps if each.step_id == part.step_id), None)
        if step is None:
            raise Refused(f"run {run.id} has no step {part.step_id!r} any more.")
        output = write_json_text(replaced(_output(step.output), part.keys, value))
        if state.state.partition(":")[0] == "failed":
            yield Ask(controls.patch, controls.PatchStep(step_id=step.id, output=Json(output.encode()), reason=reason))
        else:
            # The server decodes a JSON text once more.
            encoded = Json(msgspec.json.encode(output))
            request = controls.InjectOutput(run_id=run.id, step_id=step.id, new_output=encoded, reason=reason)
            yield Ask(controls.inject, request)
        yield from run.refresh()
        return value

    def restart(self, run: DebuggedRun, frame: Frame) -> Generator[Step, Any, str]:
        """Lets a paused or failed run go on from the step of a frame; from its beginning with that of the run.

        Returns what runs again, as a text. Raises Refused.
        """
        yield from run.refresh()
        state = yield from run.state(run.history.last)
        from_step = frame.step.step_id if frame.step is not None else ""
        if not from_step and state.steps:
            from_step = state.steps[0].step_id
        expected = preview(state, "resume", from_step)
        if expected.refused:
            raise Refused(f"the run cannot go on from there: {expected.refused}.", shown=True)
        yield Ask(controls.resume, controls.ResumeRun(run_id=run.id, from_step=from_step))
        run.paused_here = False
        names = ", ".join(step.name for step in expected.again) or "none"
        return f"Resumed. Steps to run again: {names}."

    @staticmethod
    def result(references: References, value: Any, *, whole: bool = False, name: str = "result") -> dict[str, Any]:
        """The value of an evaluation or of a variable that was set."""
        text = write_json_text(value) if whole else shown(value)
        return {name: text, "type": type_of(value), "variablesReference": 0 if whole else references.of(Node(value))}


def _value_and_reason(text: str) -> tuple[Any, str]:
    """`JSON // REASON` in its parts; the reason may be missing. Raises Refused."""
    given = text.strip()
    try:
        value, end = json.JSONDecoder().raw_decode(given)
    except (ValueError, RecursionError):
        raise Refused(f"{shown(given, 60)} is no JSON; a text needs its quotes.", shown=True) from None
    rest = given[end:].strip()
    if rest and not rest.startswith("//"):
        raise Refused(f"behind the JSON is {shown(rest, 60)}; a reason begins with //.", shown=True)
    return value, rest.removeprefix("//").strip()


def _output(output: Json) -> Any:
    return msgspec.json.decode(output)

"""The breakpoints of a session, and which of them a moment meets; pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ironflow.base.cel import InvalidExpression
from ironflow.debugging.dap import arguments as given
from ironflow.debugging.expressions import check_expression
from ironflow.debugging.history import History, Moment
from ironflow.debugging.lines import file_key

ANY_FAILURE, UNCAUGHT = "any", "uncaught"
BREAKPOINTS_MAX = 1_000
FILTERS = [
    {
        "filter": ANY_FAILURE,
        "label": "Any failure",
        "description": "Stops where a step, an attempt or the run fails.",
        "supportsCondition": True,
        "conditionDescription": "CEL over run, event, steps, outputs, error and step",
    },
    {
        "filter": UNCAUGHT,
        "label": "Uncaught failures",
        "description": "Stops where an attempt or the run fails.",
        "default": True,
        "supportsCondition": True,
        "conditionDescription": "CEL over run, event, steps, outputs, error and step",
    },
]
_PENDING = (
    "No step of this run is known to be called at this line or below it in this file; "
    "a function breakpoint takes the name of a step."
)
_HITS = re.compile(r"(>=|>|==|=|<=|<|%)?\s*(\d{1,9})")


@dataclass(slots=True)
class Breakpoint:
    """Stops, or logs, at moments. reason: as in the event `stopped`. hits: how often its condition was true.

    line: of the history, or of `file`, a key, where there is one: `wanted_line` or the next below it that calls a step.
    pending: no such line is known so far.
    """

    id: int
    reason: str
    step: str = ""
    line: int = 0
    file: str = ""
    wanted_line: int = 0
    pending: bool = False
    filter: str = ""
    condition: str = ""
    hit_condition: str = ""
    log: str = ""
    fault: str = ""
    hits: int = 0

    def meets(self, moment: Moment) -> str | None:
        """The step of that moment that it concerns, empty for the moment itself; None where it concerns neither.

        Its condition, and the line of a file, are others' to look at.
        """
        if self.filter:
            met = moment.uncaught if self.filter == UNCAUGHT else moment.failed
            failed = (entry.step_id for entry in moment.entries if entry.failed and entry.step_id)
            return next(failed, "") if met else None
        if self.line:
            return "" if moment.number == self.line - 1 else None
        named = (e.step_id for e in moment.begun if fnmatchcase(e.step_name, self.step) or e.step_id == self.step)
        return next(named, None)

    def place(self, history: History | None) -> bool:
        """Finds the line of a breakpoint in a file again. Returns whether its answer has changed."""
        before = self.line, self.pending
        lines = [] if history is None or self.fault else history.lines(self.file)
        found = next((line for line in lines if line >= self.wanted_line), None)
        self.line, self.pending = found or self.wanted_line, found is None
        return before != (self.line, self.pending)

    def counted(self) -> bool:
        """Counts a hit. Returns whether the hit condition lets it stop."""
        self.hits += 1
        match = _HITS.fullmatch(self.hit_condition.strip())
        if match is None:
            return True
        wanted = int(match[2])
        compared = {
            ">=": self.hits >= wanted,
            ">": self.hits > wanted,
            "<=": self.hits <= wanted,
            "<": self.hits < wanted,
            "%": wanted > 0 and self.hits % wanted == 0,
        }
        return compared.get(match[1] or "==", self.hits == wanted)

    def answer(self, source: Any = None, base: int = 1) -> dict[str, Any]:
        """The breakpoint as the protocol has it. base: the number of the client's first line."""
        found: dict[str, Any] = {"id": self.id, "verified": not (self.fault or self.pending)}
        if self.fault:
            found["message"] = self.fault
        elif self.pending:
            found |= {"message": _PENDING, "reason": "pending"}
        if self.line:
            found["line"] = self.line + base - 1
            if source:
                found["source"] = source
        return found


class Breakpoints:
    """All breakpoints of a session."""

    def __init__(self) -> None:
        self._steps: list[Breakpoint] = []
        self._lines: list[Breakpoint] = []
        self._files: dict[str, list[Breakpoint]] = {}
        self._failures: list[Breakpoint] = []
        self._last_id = 0

    @property
    def failures(self) -> list[str]:
        """The filters that are on."""
        return [each.filter for each in self._failures]

    def set_steps(self, wanted: list[dict[str, Any]]) -> list[Breakpoint]:
        """Breakpoints on names of steps, `*` and `?` included, or step ids. Raises Refused."""
        self._steps = [
            self._made("function breakpoint", each, step=given.text(each, "name")) for each in wanted[:BREAKPOINTS_MAX]
        ]
        return self._steps

    def set_lines(self, wanted: list[dict[str, Any]], base: int) -> list[Breakpoint]:
        """Breakpoints on lines of the history; a line is a moment. base: the number of the client's first line."""
        self._lines = []
        for each in wanted[:BREAKPOINTS_MAX]:
            line = given.number(each, "line") - base + 1
            fault = "" if line >= 1 else "there is no such line"
            self._lines.append(self._made("breakpoint", each, line=max(line, 1), fault=fault))
        return self._lines

    def set_file(self, path: str, wanted: list[dict[str, Any]], base: int, history: History | None) -> list[Breakpoint]:
        """Breakpoints on lines of a file that call steps. history: of the run, None before there is one."""
        file = file_key(path)
        self._files.pop(file, None)
        free = max(BREAKPOINTS_MAX - sum(map(len, self._files.values())), 0)
        made: list[Breakpoint] = []
        for each in wanted[:free]:
            line = given.number(each, "line") - base + 1
            fault = "" if line >= 1 else "there is no such line"
            made.append(self._made("breakpoint", each, file=file, wanted_line=max(line, 1), fault=fault))
            made[-1].place(history)
        if made:
            self._files[file] = made
        return made

    def placed_anew(self, history: History) -> list[Breakpoint]:
        """Those in files whose line has become known, or was found nearer, since they were placed."""
        return [each for made in self._files.values() for each in made if each.place(history)]

    def set_failures(self, wanted: list[tuple[str, str]]) -> list[Breakpoint]:
        """Filters with their conditions."""
        known = {ANY_FAILURE, UNCAUGHT}
        self._failures = [
            self._made(
                "exception",
                {"condition": condition},
                filter=name,
                fault="" if name in known else f"there is no filter {name!r}; use {ANY_FAILURE} or {UNCAUGHT}",
            )
            for name, condition in wanted[:BREAKPOINTS_MAX]
        ]
        return self._failures

    def met(self, moment: Moment) -> Iterator[tuple[Breakpoint, str]]:
        """Those that concern a moment, with the step that each concerns, empty for the moment itself."""
        called = moment.called if self._files else {}
        for (file, line), step_id in called.items():
            for each in self._files.get(file, ()):
                if each.line == line and not each.pending and not each.fault:
                    yield each, step_id
        for each in (*self._failures, *self._lines, *self._steps):
            step_id = None if each.fault else each.meets(moment)
            if step_id is not None:
                yield each, step_id

    def _made(self, reason: str, asked: dict[str, Any], fault: str = "", **what: Any) -> Breakpoint:
        self._last_id += 1
        made = Breakpoint(
            self._last_id,
            reason,
            condition=given.text(asked, "condition", ""),
            hit_condition=given.text(asked, "hitCondition", ""),
            log=given.text(asked, "logMessage", ""),
            fault=fault,
            **what,
        )
        if made.hit_condition and not _HITS.fullmatch(made.hit_condition.strip()):
            made.fault = f"{made.hit_condition!r} is no hit condition; write a number, or one after >, >=, < or %."
        try:
            if made.condition:
                check_expression(made.condition)
        except InvalidExpression as fault_found:
            made.fault = fault_found.message
        return made

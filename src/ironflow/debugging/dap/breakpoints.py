"""The breakpoints of a session, and which of them a moment meets; pure."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ironflow.base.cel import InvalidExpression
from ironflow.debugging.dap import arguments as given
from ironflow.debugging.expressions import check_expression
from ironflow.debugging.history import Moment

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
_HITS = re.compile(r"(>=|>|==|=|<=|<|%)?\s*(\d{1,9})")


@dataclass(slots=True)
class Breakpoint:
    """Stops, or logs, at moments. reason: as in the event `stopped`. hits: how often its condition was true."""

    id: int
    reason: str
    step: str = ""
    line: int = 0
    filter: str = ""
    condition: str = ""
    hit_condition: str = ""
    log: str = ""
    fault: str = ""
    hits: int = 0

    def meets(self, moment: Moment) -> bool:
        """Whether it concerns that moment, whatever its condition says."""
        if self.fault:
            return False
        if self.filter:
            return moment.uncaught if self.filter == UNCAUGHT else moment.failed
        if self.line:
            return moment.number == self.line - 1
        return any(fnmatchcase(entry.step_name, self.step) or entry.step_id == self.step for entry in moment.begun)

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

    def answer(self, source: Any = None) -> dict[str, Any]:
        """The breakpoint as the protocol has it."""
        found: dict[str, Any] = {"id": self.id, "verified": not self.fault}
        if self.fault:
            found["message"] = self.fault
        if self.line:
            found |= {"line": self.line, "source": source} if source else {"line": self.line}
        return found


class Breakpoints:
    """All breakpoints of a session."""

    def __init__(self) -> None:
        self._steps: list[Breakpoint] = []
        self._lines: list[Breakpoint] = []
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

    def met(self, moment: Moment) -> list[Breakpoint]:
        """Those that concern a moment."""
        return [each for each in (*self._failures, *self._lines, *self._steps) if each.meets(moment)]

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

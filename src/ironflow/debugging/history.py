"""The history of a recorded run as moments, one for each of its facts; pure."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ironflow.debugging.lines import file_key, line_of
from ironflow.features.time_travel.contract import TimelineEvent

# The entries of one fact that a line names.
SHOWN_MAX = 5
_BEGINNINGS = ("step.started", "saga.compensation.started")


@dataclass(frozen=True, slots=True)
class Moment:
    """One fact of a run. number: from 0. entries: of the timeline, at least one, all of that fact."""

    number: int
    entries: tuple[TimelineEvent, ...]

    @property
    def entry_id(self) -> str:
        """What the server takes to show the run just after it."""
        return self.entries[-1].id

    @property
    def at(self) -> datetime:
        return self.entries[-1].timestamp

    @property
    def failed(self) -> bool:
        """Whether a step, an attempt or the run failed."""
        return any(each.failed for each in self.entries)

    @property
    def uncaught(self) -> bool:
        """Whether an attempt or the run failed, not only a step."""
        return any(each.failed and not each.step_id for each in self.entries)

    @property
    def significant(self) -> bool:
        return any(each.significant for each in self.entries)

    @property
    def step_id(self) -> str:
        """The SDK's id of the last step that it is about; empty when it is about the run."""
        return next((each.step_id for each in reversed(self.entries) if each.step_id), "")

    @property
    def begun(self) -> list[TimelineEvent]:
        """The entries of steps that began."""
        return [each for each in self.entries if each.event_type in _BEGINNINGS]

    @property
    def called(self) -> dict[tuple[str, int], str]:
        """The lines that call steps which began, as key of the file and number, with the first such step's id."""
        found: dict[tuple[str, int], str] = {}
        for entry in self.begun:
            line = line_of(entry.source)
            if line is not None:
                found.setdefault((file_key(line.path), line.number), entry.step_id)
        return found

    @property
    def summary(self) -> str:
        """What happened, in a line: the first few, and how many more. A step that began and ended in it is one."""
        ended = {each.step_id for each in self.entries if each.event_type not in _BEGINNINGS}
        shown = [each for each in self.entries if each.event_type not in _BEGINNINGS or each.step_id not in ended]
        more = [f"and {len(shown) - SHOWN_MAX} more"] if len(shown) > SHOWN_MAX else []
        return "; ".join([*(each.summary for each in shown[:SHOWN_MAX]), *more])

    @property
    def kind(self) -> str:
        """The type of its last entry, such as `step.completed`."""
        return self.entries[-1].event_type


class History:
    """All moments of one run that are known so far, in order."""

    def __init__(self, entries: Iterable[TimelineEvent] = ()) -> None:
        self.entries: list[TimelineEvent] = []
        self.moments: list[Moment] = []
        # The lines that call steps, by the key of their file; and each source that was read.
        self._lines: dict[str, set[int]] = {}
        self._sources: set[str] = set()
        self.add(entries)

    def __len__(self) -> int:
        return len(self.moments)

    def __getitem__(self, number: int) -> Moment:
        return self.moments[number]

    @property
    def last(self) -> int:
        """The number of the last moment; -1 without any."""
        return len(self.moments) - 1

    def add(self, entries: Iterable[TimelineEvent]) -> int:
        """Adds the entries that follow those that are known. Returns how many moments are new."""
        before = len(self.moments)
        for entry in entries:
            self.entries.append(entry)
            self._add_line(entry.source)
            known = self.moments[-1] if self.moments else None
            if known is not None and _fact_of(known.entries[-1]) == _fact_of(entry):
                self.moments[-1] = Moment(known.number, (*known.entries, entry))
            else:
                self.moments.append(Moment(len(self.moments), (entry,)))
        return len(self.moments) - before

    def lines(self, path: str) -> list[int]:
        """The lines of a file that call steps which have begun, in order."""
        return sorted(self._lines.get(file_key(path), ()))

    def _add_line(self, source: str) -> None:
        if not source or source in self._sources:
            return
        self._sources.add(source)
        line = line_of(source)
        if line is not None:
            self._lines.setdefault(file_key(line.path), set()).add(line.number)

    def at(self, time: datetime) -> int:
        """The last moment at or before that time; the first one for an earlier time. Raises IndexError when empty."""
        if not self.moments:
            raise IndexError("the history is empty")
        return max(bisect_right(self.moments, time, key=lambda each: each.at) - 1, 0)

    def first_failure(self) -> int | None:
        return self.forward(-1, lambda each: each.failed)

    def of_step(self, named: str, after: int = -1) -> int | None:
        """The first moment after `after` of the step with that step id or name; None without one."""
        return self.forward(
            after, lambda each: any(named in (entry.step_id, entry.step_name) for entry in each.entries if named)
        )

    def forward(self, after: int, wanted: Callable[[Moment], bool]) -> int | None:
        """The first moment after number `after` that is wanted."""
        return next((each.number for each in self.moments[max(after + 1, 0) :] if wanted(each)), None)

    def back(self, before: int, wanted: Callable[[Moment], bool]) -> int | None:
        """The last moment before number `before` that is wanted."""
        return next((each.number for each in reversed(self.moments[: max(before, 0)]) if wanted(each)), None)

    def matching(self, text: str) -> Sequence[int]:
        """The moments with that text in what happened or in the name of their step, in any case."""
        sought = text.casefold()
        return [
            each.number
            for each in self.moments
            if any(
                sought in f"{entry.event_type} {entry.step_name} {entry.summary}".casefold() for entry in each.entries
            )
        ]


def _fact_of(entry: TimelineEvent) -> str:
    """The part of an entry's id that all entries of its fact have."""
    return entry.id.rpartition("_")[0]

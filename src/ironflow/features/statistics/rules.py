"""What is computed of runs; pure."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ironflow.base.errors import InvalidArgument
from ironflow.base.time import Millis, to_datetime
from ironflow.features.runs.in_tx import Started
from ironflow.features.statistics.contract import FailureGroup, Flow, FlowName, FunctionStatistics, RunSlice
from ironflow.log.emitters import Emitted

PATTERN_MAX = 200
_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|<[^>]*>|[\w-]*\d[\w-]*")
_RAISED = re.compile(r"^(?:[\w$]+\.)*([A-Za-z_$][\w$]*): (.*)$", re.MULTILINE)
_ENDED = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run as far as numbers need it. error: message, code and stack; empty for none."""

    id: str
    function_id: str
    version: int
    status: str
    created_at: Millis
    ended_at: Millis | None
    message: str = ""
    code: str = ""
    stack: str = ""
    step: str = ""


def message_pattern(message: str) -> str:
    """The first line with `…` for what differs between failures of one cause: numbers, ids, quoted parts."""
    first = message.strip().partition("\n")[0]
    return _VARIABLE.sub("…", first)[:PATTERN_MAX]


def error_class(message: str, code: str, stack: str) -> str:
    """The class of the exception with that message in the stack, of the deepest cause; else the code."""
    first = message.partition("\n")[0]
    for raised in _RAISED.finditer(stack):
        if raised[2] == first:
            return raised[1]
    return code or "Error"


def cursor_of(run_id: str, position: int) -> str:
    return f"{run_id}.{position}"


def read_cursor(cursor: str, head: int) -> tuple[str, int]:
    """The run and the position that a page ended with; empty and one above the head for the first page.

    Raises InvalidArgument.
    """
    if not cursor:
        return "", head + 1
    run_id, _, position = cursor.rpartition(".")
    if not (position.isascii() and position.isdigit() and len(position) < 19 and run_id.startswith("run_")):
        raise InvalidArgument(f"{cursor[:40]!r} is not a cursor of this list. Pass next_cursor as it was given.")
    return run_id, int(position)


def flows_of(
    started: Sequence[Started], emitted: Sequence[Emitted], functions: dict[str, str]
) -> tuple[list[Flow], list[FlowName]]:
    """functions: of emitters that are runs. What flowed most comes first."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    failed: Counter[tuple[str, str, str, str]] = Counter()
    names: Counter[tuple[str, str]] = Counter()
    for run in started:
        source = ("event", run.event_name) if run.parent_function_id is None else ("function", run.parent_function_id)
        if source[1]:
            key = (source[0], source[1], "function", run.function_id)
            counts[key] += 1
            failed[key] += run.status == "failed"
    for record in emitted:
        kind = "topic" if record.kind == "topic" else "event"
        names[kind, record.name] += 1
        if (function := functions.get(record.emitter or "")) is not None:
            counts["function", function, kind, record.name] += 1
    flows = [
        Flow(source_kind=key[0], source=key[1], target_kind=key[2], target=key[3], count=count, failed=failed[key])
        for key, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    ]
    found = sorted(names.items(), key=lambda each: (-each[1], each[0]))
    return flows, [FlowName(kind=kind, name=name, count=count) for (kind, name), count in found]


def slice_of(at: Millis, since: Millis, until: Millis, slices: int) -> int:
    """The number of the slice that a moment is in, from 0."""
    return max(0, min(slices - 1, (at - since) * slices // max(1, until - since)))


def run_slices(runs: Iterable[RunLine], since: Millis, until: Millis, slices: int) -> list[RunSlice]:
    found = [RunSlice(at=to_datetime(since + (until - since) * number // slices)) for number in range(slices)]
    for run in runs:
        counted = found[slice_of(run.created_at, since, until, slices)]
        match run.status:
            case "completed":
                counted.completed += 1
            case "failed":
                counted.failed += 1
            case "cancelled":
                counted.cancelled += 1
            case _:
                counted.unfinished += 1
    return found


def quantile(ordered: Sequence[int], share: float) -> int | None:
    """The value that `share` of all do not exceed; None without values."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def by_function(runs: Iterable[RunLine]) -> list[FunctionStatistics]:
    """runs: the newest first. Functions with the most failures come first, then those with the most runs."""
    grouped: dict[str, list[RunLine]] = {}
    for run in runs:
        grouped.setdefault(run.function_id, []).append(run)
    found = [_function(function_id, those) for function_id, those in grouped.items()]
    return sorted(found, key=lambda each: (-each.failed, -each.runs, each.function_id))


def _function(function_id: str, runs: list[RunLine]) -> FunctionStatistics:
    took = sorted(run.ended_at - run.created_at for run in runs if run.ended_at is not None and run.status in _ENDED)
    failed = [run for run in runs if run.status == "failed"]
    return FunctionStatistics(
        function_id=function_id,
        runs=len(runs),
        failed=len(failed),
        p50_ms=quantile(took, 0.5),
        p99_ms=quantile(took, 0.99),
        latest_error=failed[0].message if failed else None,
        latest_failed_run_id=failed[0].id if failed else None,
    )


def failure_groups(runs: Iterable[RunLine], since: Millis, until: Millis, slices: int) -> list[FailureGroup]:
    """runs: failed ones, the newest first; so the newest of a group is the first that is met."""
    groups: dict[tuple[str, str, str, str], FailureGroup] = {}
    for run in runs:
        ended_at = run.ended_at or run.created_at
        key = (run.function_id, error_class(run.message, run.code, run.stack), message_pattern(run.message), run.step)
        group = groups.get(key)
        if group is None:
            group = groups[key] = FailureGroup(
                id="flr_" + hashlib.sha256("\0".join(key).encode()).hexdigest()[:16],
                function_id=run.function_id,
                error_class=key[1],
                pattern=key[2],
                step=run.step,
                count=0,
                counts=[0] * slices,
                versions=[],
                first_at=to_datetime(ended_at),
                last_at=to_datetime(ended_at),
                latest_message=run.message,
                latest_run_id=run.id,
            )
        group.count += 1
        group.counts[slice_of(ended_at, since, until, slices)] += 1
        group.first_at = min(group.first_at, to_datetime(ended_at))
        group.last_at = max(group.last_at, to_datetime(ended_at))
        if run.version not in group.versions:
            group.versions = sorted([*group.versions, run.version])
    return sorted(groups.values(), key=lambda group: group.last_at, reverse=True)

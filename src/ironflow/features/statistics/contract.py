"""What can be asked: numbers about runs, and failures in groups."""

from datetime import datetime
from typing import Annotated

from ironflow.base.fields import Message, field
from ironflow.base.operation import operation
from ironflow.features.events import contract as events


class GetRunStatistics(Message, kw_only=True):
    """Of runs created from `since` on, by default an hour ago, in `slices` equal stretches of time."""

    since: datetime | None = None
    slices: Annotated[int, field(ge=1, le=200)] = 60


class RunSlice(Message, kw_only=True):
    """Runs created from `at` on, by the status that they have now. unfinished: all that have not ended."""

    at: datetime
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    unfinished: int = 0


class FunctionStatistics(Message, kw_only=True):
    """Runs of one function. p50_ms, p99_ms: from creation to end, absent before one has ended."""

    function_id: str
    runs: int
    failed: int
    p50_ms: int | None = None
    p99_ms: int | None = None
    latest_error: str | None = None
    latest_failed_run_id: str | None = None


class RunStatistics(Message, kw_only=True):
    """unfinished: runs of any age by status, each counted up to unfinished_cap.

    scanned: runs that were read, the newest; truncated: there are more. Functions with failures come first.
    """

    since: datetime
    until: datetime
    slices: list[RunSlice]
    functions: list[FunctionStatistics]
    unfinished: dict[str, int]
    unfinished_cap: int
    scanned: int
    truncated: bool


class ListFailures(Message, kw_only=True):
    """Failed runs created from `since` on, by default a day ago, in `slices` equal stretches of time."""

    since: datetime | None = None
    function_id: str = ""
    slices: Annotated[int, field(ge=1, le=200)] = 24


class FailureGroup(Message, kw_only=True):
    """Failed runs of one function with the same error class, message pattern and step.

    pattern: the message with `…` for numbers, ids and quoted parts. versions: of the function. counts: by slice.
    """

    id: str
    function_id: str
    error_class: str
    pattern: str
    step: str
    count: int
    counts: list[int]
    versions: list[int]
    first_at: datetime
    last_at: datetime
    latest_message: str
    latest_run_id: str


class Failures(Message, kw_only=True):
    """groups: the one with the newest failure first. scanned, truncated: as in RunStatistics."""

    since: datetime
    until: datetime
    groups: list[FailureGroup]
    scanned: int
    truncated: bool


class ListFlows(Message, kw_only=True):
    """limit: how many of the newest runs, and of the newest events and messages, are looked at.

    cursor: goes on with older ones; the counts of pages are added.
    """

    limit: Annotated[int, field(ge=1, le=10_000)] = 5000
    cursor: str = ""


class Flow(Message, kw_only=True):
    """How often one thing led to another: an event started a function, or a function invoked one, or emitted an event,
    or published to a topic. source_kind, target_kind: event, function or topic. failed: runs of it that failed."""

    source_kind: str
    source: str
    target_kind: str
    target: str
    count: int
    failed: int = 0


class FlowName(Message, kw_only=True):
    """An event or topic, and how often it occurred. kind: event or topic."""

    kind: str
    name: str
    count: int


class Flows(Message, kw_only=True):
    """runs, records: how many were looked at. records are events and messages of topics."""

    flows: list[Flow]
    names: list[FlowName]
    runs: int
    records: int
    next_cursor: str | None = None


runs = operation(
    "statistics.runs", GetRunStatistics, RunStatistics,
    rest="GET /api/v1/statistics/runs", scope="runs:read",
    doc="Runs over time by status, and by function with durations and the latest error; of the newest 10,000.",
)  # fmt: skip
failures = operation(
    "statistics.failures", ListFailures, Failures,
    rest="GET /api/v1/statistics/failures", scope="runs:read",
    doc="Failed runs grouped by function, error class, message pattern and step; of the newest 2,000.",
)  # fmt: skip
flows = operation(
    "statistics.flows", ListFlows, Flows,
    rest="GET /api/v1/statistics/flows", scope="functions:read", asks=(events.list_.scope,),
    doc="What led to what among the newest runs, events and messages: events, functions and topics as observed.",
)  # fmt: skip

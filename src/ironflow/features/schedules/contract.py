"""What can be asked of schedules."""

from datetime import datetime
from typing import Annotated

from ironflow.base.duration import LONGEST_MS
from ironflow.base.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from ironflow.base.fields import Message, field
from ironflow.base.json import Json
from ironflow.base.operation import operation
from ironflow.base.run_keys import RunKeyHeld
from ironflow.features.events import contract as events
from ironflow.features.events.contract import EventTooLarge
from ironflow.features.functions.contract import FunctionNotActive, FunctionNotFound


class ScheduleNotFound(NotFound):
    """There is no schedule of that id in this environment."""

    code = "SCHEDULE_NOT_FOUND"


class ScheduleExists(AlreadyExists):
    """There is a schedule of that id in this environment already."""

    code = "SCHEDULE_EXISTS"


class ScheduleConflict(Aborted):
    """The schedule is not at the version that the request expects. Read it again and decide again."""

    code = "SCHEDULE_CONFLICT"


class InvalidSchedule(InvalidArgument):
    """A schedule has an id, a function, and one of cron, every_ms and at."""

    code = "INVALID_SCHEDULE"


class TooManyBackfills(FailedPrecondition):
    """The schedule has as many backfills under way as it may have. Wait until one has ended."""

    code = "TOO_MANY_BACKFILLS"


class Backfill(Message, kw_only=True):
    """The ticks of a past range, which start their runs now. next_at: the tick that comes next."""

    id: str
    next_at: datetime
    until: datetime
    overlap: str
    started: int
    created_at: datetime


class Schedule(Message, kw_only=True):
    """status: active, paused, or ended when there is no further tick.

    version rises with each change by a client. next_at: the next tick; due_at: the same with its jitter. last_at: the
    last tick that came. started, skipped, missed: ticks that started a run, that found one running and started none,
    and that were older than catch_up_ms or whose function was not active. running: ids of runs that a tick must not
    overlap, at most 100. kept_at: the tick that waits for them. backfills: those under way.
    """

    id: str
    version: int
    function_id: str
    input: Json
    cron: str = ""
    timezone: str = ""
    every_ms: int = 0
    at: datetime | None = None
    jitter_ms: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    catch_up_ms: int | None = None
    overlap: str
    description: str = ""
    status: str
    next_at: datetime | None = None
    due_at: datetime | None = None
    last_at: datetime | None = None
    last_run_id: str = ""
    started: int = 0
    skipped: int = 0
    missed: int = 0
    running: list[str] = []
    kept_at: datetime | None = None
    backfills: list[Backfill] = []
    created_at: datetime
    updated_at: datetime


class CreateSchedule(Message, kw_only=True):
    """One of cron (read in timezone), every_ms (counted from starts_at, else from now) and at.

    input: the data of the runs' event. jitter_ms: each tick comes up to so much later. catch_up_ms: ticks that were
    missed come later, each of them, unless they are older than that; None for one that makes up for all.
    overlap: all, skip, one or cancel_running.
    """

    id: str
    function_id: str
    input: Json | None = None
    cron: str = ""
    timezone: Annotated[str, field(None, also=("tz",))] = ""
    every_ms: Annotated[int, field(ge=0, le=LONGEST_MS)] = 0
    at: datetime | None = None
    jitter_ms: Annotated[int, field(ge=0, le=LONGEST_MS)] = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    catch_up_ms: Annotated[int, field(ge=0, le=LONGEST_MS)] | None = None
    overlap: str = ""
    description: str = ""
    paused: bool = False


class ChangeSchedule(Message, kw_only=True):
    """What is absent stays as it is; `clear` names fields that become empty. expected_version: 0 for any.

    A new one of cron, every_ms and at replaces the one there was.
    """

    id: str
    expected_version: Annotated[int, field(ge=0)] = 0
    function_id: str | None = None
    input: Json | None = None
    cron: str | None = None
    timezone: Annotated[str | None, field(None, also=("tz",))] = None
    every_ms: Annotated[int, field(ge=0, le=LONGEST_MS)] | None = None
    at: datetime | None = None
    jitter_ms: Annotated[int, field(ge=0, le=LONGEST_MS)] | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    catch_up_ms: Annotated[int, field(ge=0, le=LONGEST_MS)] | None = None
    overlap: str | None = None
    description: str | None = None
    clear: list[str] = []


class NamedSchedule(Message, kw_only=True):
    id: str


class ListSchedules(Message, kw_only=True):
    function_id: str = ""
    status: str = ""
    limit: Annotated[int, field(ge=1, le=1000)] = 100
    cursor: str = ""


class Schedules(Message, kw_only=True):
    """Without `running`, `kept_at` and `backfills`, which `schedules.get` has."""

    schedules: list[Schedule]
    count: int
    next_cursor: str | None = None


class Triggered(Message, kw_only=True):
    run_id: str


class BackfillSchedule(Message, kw_only=True):
    """The ticks later than `since`, up to `until`. overlap: all, or one: each starts when the one before has ended."""

    id: str
    since: datetime
    until: datetime
    overlap: str = ""


class ListTicks(Message, kw_only=True):
    """The ticks later than `since`, absent for now, up to `until`, absent for no end."""

    id: str
    since: datetime | None = None
    until: datetime | None = None
    limit: Annotated[int, field(ge=1, le=1000)] = 100


class Ticks(Message, kw_only=True):
    """ticks: oldest first, without jitter. more: there are later ones in the range."""

    ticks: list[datetime]
    more: bool


_PATH = "/api/v1/schedules"
_ASKS = (events.invoke.scope,)
_FUNCTION = (FunctionNotFound, FunctionNotActive)

create = operation(
    "schedules.create", CreateSchedule, Schedule,
    rest=f"POST {_PATH}", success=201, scope="schedules:write", asks=_ASKS,
    errors=(ScheduleExists, InvalidSchedule, EventTooLarge, FunctionNotFound),
    doc="Creates a schedule, which starts runs of a function at times.",
)  # fmt: skip
list_ = operation(
    "schedules.list", ListSchedules, Schedules,
    rest=f"GET {_PATH}", scope="schedules:read",
    doc="The schedules of this environment by id.",
)  # fmt: skip
get = operation(
    "schedules.get", NamedSchedule, Schedule,
    rest=f"GET {_PATH}/{{id}}", scope="schedules:read", errors=(ScheduleNotFound,),
    doc="One schedule, with what runs and what waits.",
)  # fmt: skip
change = operation(
    "schedules.change", ChangeSchedule, Schedule,
    rest=f"PATCH {_PATH}/{{id}}", scope="schedules:write", asks=_ASKS,
    errors=(ScheduleNotFound, ScheduleConflict, InvalidSchedule, EventTooLarge, FunctionNotFound),
    doc="Changes fields of a schedule, if it is at the expected version. New times begin with the next tick from now.",
)  # fmt: skip
delete = operation(
    "schedules.delete", NamedSchedule, None,
    rest=f"DELETE {_PATH}/{{id}}", scope="schedules:write", errors=(ScheduleNotFound,),
    doc="Deletes a schedule with its backfills and the tick that waits. Its runs go on.",
)  # fmt: skip
pause = operation(
    "schedules.pause", NamedSchedule, Schedule,
    rest=f"POST {_PATH}/{{id}}/pause", scope="schedules:write", errors=(ScheduleNotFound,),
    doc="Pauses a schedule: ticks and backfills start no runs until it is resumed; a tick that waits is dropped.",
)  # fmt: skip
resume = operation(
    "schedules.resume", NamedSchedule, Schedule,
    rest=f"POST {_PATH}/{{id}}/resume", scope="schedules:write", asks=_ASKS, errors=(ScheduleNotFound,),
    doc="Resumes a paused schedule with the next tick from now.",
)  # fmt: skip
trigger = operation(
    "schedules.trigger", NamedSchedule, Triggered,
    rest=f"POST {_PATH}/{{id}}/trigger", scope="schedules:write", adds="events", asks=_ASKS,
    errors=(ScheduleNotFound, RunKeyHeld, *_FUNCTION),
    doc="Starts a run of a schedule now, whatever runs, also while it is paused.",
)  # fmt: skip
backfill = operation(
    "schedules.backfill", BackfillSchedule, Backfill,
    rest=f"POST {_PATH}/{{id}}/backfill", success=202, scope="schedules:write", adds="events", asks=_ASKS,
    errors=(ScheduleNotFound, InvalidSchedule, TooManyBackfills),
    doc="Starts the runs of a past range's ticks; it goes on by itself.",
)  # fmt: skip
list_ticks = operation(
    "schedules.list_ticks", ListTicks, Ticks,
    rest=f"GET {_PATH}/{{id}}/ticks", scope="schedules:read", errors=(ScheduleNotFound,),
    doc="The times of a schedule in a range, past or to come: what it would start, and what a backfill would.",
)  # fmt: skip

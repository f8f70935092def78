"""What is shown of schedules."""

from datetime import datetime
from typing import Any

from ironflow.features.schedules.contract import Backfill
from ironflow.sdk.client.views.base import View


class Schedule(View, kw_only=True, frozen=True):
    """A schedule. input: the data of its runs. status: active, paused, or ended when there is no further tick.

    version rises with each change by a client. next_at: the next tick; due_at: the same with its jitter. last_at: the
    last tick that came. started, skipped, missed: ticks that started a run, that found one running and started none,
    and that were older than catch_up_ms or whose function was not active. running: ids of runs that a tick must not
    overlap, at most 100. kept_at: the tick that waits for them. backfills: those under way.
    """

    id: str
    version: int
    function_id: str
    input: Any
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

# Generated from ironflow/sdk/client/features/schedules.py by generate_sync; edit that file.
"""`client.schedules`: starts of functions at times."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from ironflow.base.duration import Duration, duration_ms
from ironflow.features.schedules import contract
from ironflow.features.schedules.contract import Backfill
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing
from ironflow.sdk.client.views.convert import view
from ironflow.sdk.client.views.schedules import Schedule
from ironflow.sdk.values.payload import to_payload

Overlap = Literal["all", "skip", "one", "cancel_running"]


class Schedules:
    """Schedules, each with an id of the user's own; times are aware datetimes."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(
        self,
        schedule_id: str,
        function_id: str,
        input: Any = None,
        *,
        cron: str = "",
        tz: str = "",
        every: Duration | None = None,
        at: datetime | None = None,
        jitter: Duration = 0,
        start: datetime | None = None,
        end: datetime | None = None,
        catch_up: Duration | None = None,
        overlap: Overlap = "all",
        description: str = "",
        paused: bool = False,
    ) -> Schedule:
        """Creates a schedule with one of cron (read in `tz`), every (counted from `start`, else from now) and at.

        input: the data of its runs. jitter: each tick comes up to so much later. catch_up: missed ticks come later,
        each of them, unless they are older than that; None for one that makes up for all. overlap: what a tick does
        while an earlier run goes on: starts all the same, skips, one waits, or the run is cancelled.
        Raises ScheduleExists, InvalidSchedule, FunctionNotFound, EventTooLarge, SerializationError.
        """
        request = contract.CreateSchedule(
            id=schedule_id,
            function_id=function_id,
            input=to_payload(input, "the schedule's input"),
            cron=cron,
            timezone=tz,
            every_ms=_ms(every) or 0,
            at=at,
            jitter_ms=duration_ms(jitter),
            starts_at=start,
            ends_at=end,
            catch_up_ms=_ms(catch_up),
            overlap=overlap,
            description=description,
            paused=paused,
        )
        return view(Schedule, self._calls.call(contract.create, request))

    def change(
        self,
        schedule_id: str,
        *,
        expected_version: int = 0,
        function_id: str | None = None,
        input: Any = None,
        cron: str | None = None,
        tz: str | None = None,
        every: Duration | None = None,
        at: datetime | None = None,
        jitter: Duration | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        catch_up: Duration | None = None,
        overlap: Overlap | None = None,
        description: str | None = None,
        clear: Sequence[str] = (),
    ) -> Schedule:
        """Changes what is given, if the schedule is at `expected_version`, 0 for any. As `create` otherwise.

        clear: fields that become empty, such as `ends_at` or `catch_up_ms`.
        Raises ScheduleNotFound, ScheduleConflict, InvalidSchedule, FunctionNotFound, EventTooLarge.
        """
        request = contract.ChangeSchedule(
            id=schedule_id,
            expected_version=expected_version,
            function_id=function_id,
            input=None if input is None else to_payload(input, "the schedule's input"),
            cron=cron,
            timezone=tz,
            every_ms=_ms(every),
            at=at,
            jitter_ms=_ms(jitter),
            starts_at=start,
            ends_at=end,
            catch_up_ms=_ms(catch_up),
            overlap=overlap,
            description=description,
            clear=[*clear],
        )
        return view(Schedule, self._calls.call(contract.change, request))

    def get(self, schedule_id: str) -> Schedule:
        """One schedule, with what runs and what waits. Raises ScheduleNotFound."""
        return view(Schedule, self._calls.call(contract.get, contract.NamedSchedule(id=schedule_id)))

    def list(
        self,
        *,
        function_id: str = "",
        status: Literal["", "active", "paused", "ended"] = "",
        page_size: int = 100,
    ) -> Listing[Schedule]:
        """Schedules by id; asks for the next page when it is needed."""
        request = contract.ListSchedules(function_id=function_id, status=status, limit=page_size)
        return Listing(
            self._calls, contract.list_, request, lambda page: [view(Schedule, each) for each in page.schedules]
        )

    def pause(self, schedule_id: str) -> Schedule:
        """Ticks and backfills start no runs until it is resumed. Raises ScheduleNotFound."""
        return view(Schedule, self._calls.call(contract.pause, contract.NamedSchedule(id=schedule_id)))

    def resume(self, schedule_id: str) -> Schedule:
        """Goes on with the next tick from now. Raises ScheduleNotFound."""
        return view(Schedule, self._calls.call(contract.resume, contract.NamedSchedule(id=schedule_id)))

    def trigger(self, schedule_id: str) -> str:
        """Starts a run now, whatever runs, also of a paused schedule; the run's id.

        Raises ScheduleNotFound, FunctionNotFound, FunctionNotActive.
        """
        return (self._calls.call(contract.trigger, contract.NamedSchedule(id=schedule_id))).run_id

    def backfill(
        self, schedule_id: str, since: datetime, until: datetime, *, overlap: Literal["all", "one"] = "all"
    ) -> Backfill:
        """Starts the runs of the ticks later than `since`, up to `until`, both in the past; it goes on by itself.

        overlap: all, or one: each run starts when the one before it has ended.
        Raises ScheduleNotFound, InvalidSchedule, TooManyBackfills.
        """
        request = contract.BackfillSchedule(id=schedule_id, since=since, until=until, overlap=overlap)
        return self._calls.call(contract.backfill, request)

    def ticks(
        self, schedule_id: str, *, since: datetime | None = None, until: datetime | None = None, limit: int = 100
    ) -> Sequence[datetime]:
        """The first `limit` times later than `since`, None for now, up to `until`, None for no end; at most 1000.

        They are what the schedule would start, or a backfill of a range. Raises ScheduleNotFound.
        """
        request = contract.ListTicks(id=schedule_id, since=since, until=until, limit=limit)
        return (self._calls.call(contract.list_ticks, request)).ticks

    def delete(self, schedule_id: str) -> None:
        """Deletes it with its backfills; its runs go on. Raises ScheduleNotFound."""
        self._calls.call(contract.delete, contract.NamedSchedule(id=schedule_id))


def _ms(span: Duration | None) -> int | None:
    return None if span is None else duration_ms(span)

"""What reports say of steps whose bodies run: that they began, and how far they are."""

from collections.abc import Collection

from ironflow.sdk.durable.job.report import JobUpdate, StartedStep, StepProgress, StepRow
from ironflow.sdk.values.payload import Raw

# The progress of steps is sent at most this often.
PROGRESS_S = 1.0


class RunningSteps:
    """Of one job. A step is announced once; of its progress the last is sent, about once a second."""

    def __init__(self) -> None:
        # Steps that are to be reported as started, and those that the server knows to be.
        self._to_announce: dict[str, StartedStep] = {}
        self._announced: set[str] = set()
        # What bodies show, by step.
        self._progress: dict[str, StepProgress] = {}
        self._progress_at = 0.0
        # What the report on its way has.
        self._sent_started: list[StartedStep] = []
        self._sent_progress: list[StepProgress] = []

    def __bool__(self) -> bool:
        """Whether the next report, or the one on its way, has anything of these steps."""
        return bool(self._to_announce or self._progress or self._sent_started or self._sent_progress)

    @property
    def to_announce(self) -> bool:
        """Whether steps have begun that no report has named."""
        return bool(self._to_announce)

    @property
    def have_progress(self) -> bool:
        """Whether there is progress that no report has shown."""
        return bool(self._progress)

    def announce(self, row: StepRow) -> bool:
        """The step's body runs. False when that is known."""
        if row.id in self._announced or row.id in self._to_announce:
            return False
        self._to_announce[row.id] = StartedStep(id=row.id, name=row.name, type=row.type, started_at=row.started_at)
        return True

    def progressed(self, row: StepRow, details: Raw) -> None:
        """The body of a step shows its progress."""
        self._progress[row.id] = StepProgress(
            id=row.id,
            name=row.name,
            type=row.type,
            details=details,
            started_at=row.started_at,
            attempt=row.attempt,
            attempts_max=row.attempts_max,
        )

    def ended(self, row: StepRow) -> None:
        """The step has ended: its row says the rest, and whether it was announced."""
        self._to_announce.pop(row.id, None)
        self._progress.pop(row.id, None)
        if row.id in self._announced:
            row.announced = True

    def progress_due_in(self, now: float) -> float:
        """The seconds until progress may be sent. now: of the event loop's clock, as everywhere here."""
        return self._progress_at + PROGRESS_S - now

    def add_to(self, update: JobUpdate, at_work: Collection[str], now: float, *, announces: bool) -> None:
        """Completes a report. at_work: the steps whose bodies have not ended; rows of others follow, or went before."""
        if announces:
            self._sent_started = list(self._to_announce.values())
            if self._sent_started:
                update.started = self._sent_started
        self._sent_progress = [each for step_id, each in self._progress.items() if step_id in at_work]
        if self._sent_progress:
            update.progress = self._sent_progress
            self._progress_at = now

    def acknowledge(self) -> None:
        """The server has the last report."""
        for step in self._sent_started:
            self._announced.add(step.id)
            self._to_announce.pop(step.id, None)
        for each in self._sent_progress:
            if self._progress.get(each.id) is each:
                del self._progress[each.id]

    def clear(self) -> None:
        """Nothing of this is reported: the server refused it."""
        self._to_announce.clear()
        self._progress.clear()

"""What other features read of recorded runs inside their own transactions."""

from typing import NamedTuple

from ironflow.engine.model import Run
from ironflow.features.keys import in_tx as keys
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.runs.in_tx import RunRepository
from ironflow.features.time_travel import rules
from ironflow.features.time_travel.rules import Kept
from ironflow.features.time_travel.store import FactFilter, Mark, Place, count_newest, histories, newest
from ironflow.features.time_travel.timeline import KINDS, Entry, entries
from ironflow.storage.port import Tx

__all__ = [
    "KINDS",
    "Entry",
    "FactFilter",
    "Mark",
    "Place",
    "Recorded",
    "count_newest",
    "entries",
    "histories",
    "newest",
    "recorded",
]


class Recorded(NamedTuple):
    """A recorded run as it is now, without steps, and its past."""

    run: Run
    past: list[Kept]


def recorded(tx: Tx, environment: str, run_id: str) -> Recorded:
    """Raises RunNotFound, RunNotRecorded, RecordingExpired."""
    run_id = keys.run_id_of(tx, environment, run_id)
    run = RunRepository.look(tx, [run_id]).get(run_id)
    if run is None or run.environment != environment:
        raise RunNotFound(f"There is no run {run_id[:140]!r} in environment {environment!r}.", run_id=run_id)
    rules.check_recorded(run.id, run.function_id, run.recorded)
    return Recorded(run, histories(tx, [run.id])[run.id])

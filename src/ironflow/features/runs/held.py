"""Runs whose jobs workers hold, kept as this process committed them last: their reports come one after another.

Nothing is decided on a kept run before the transaction has compared it with its row. Whatever writes a run with a live
lease changes its version, decisions and the deletion of an environment: where the version is equal, the rest is, too.
Source: docs/internals/decisions/0095-a-held-run-is-kept-and-compared.md.
"""

from collections import OrderedDict
from dataclasses import dataclass

from msgspec.structs import replace

from ironflow.base.notice import Notices
from ironflow.engine.model import Run
from ironflow.features.runs import store
from ironflow.features.runs.notices import RunChanges
from ironflow.storage.port import Tx

# A kept run takes about 2 KB, with its steps up to 20 KB, or 60 KB where their ids are long.
RUNS_MAX = 5_000
# The ids of more steps of a run are not kept, and none that is longer.
STEPS_MAX, STEP_ID_CHARS_MAX = 200, 200


@dataclass(eq=False, slots=True)
class _Kept:
    """run: without its steps. step_ids: of steps that it has; all of them where there are as many as it counts."""

    run: Run
    step_ids: set[str]


class HeldRuns:
    """Loads held runs. It is a listener of what transactions publish: kept is what they committed."""

    def __init__(self, runs_max: int = RUNS_MAX) -> None:
        self._runs_max = runs_max
        # The one that was handed out first comes first.
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    @property
    def ids(self) -> list[str]:
        """The ids of the kept runs."""
        return list(self._kept)

    def receive(self, notices: Notices) -> None:
        if isinstance(notices, RunChanges):
            for decision in notices.decisions:
                self._keep(decision.run)

    def load(self, tx: Tx, ids: list[str], step_ids: dict[str, set[str]]) -> dict[str, Run]:
        """As `store.load`; of kept runs that have not changed, only the version is read."""
        runs: dict[str, Run] = {}
        keys: list[tuple[str, str]] = []
        for run_id in ids:
            kept = self._kept.get(run_id)
            if kept is None:
                # All of them, in one statement: it locks them in the order of their ids.
                return store.load(tx, ids, step_ids)
            if run_id in runs:
                continue
            runs[run_id] = kept.run
            names = step_ids.get(run_id)
            if names:
                complete = len(kept.step_ids) >= kept.run.step_count
                if not complete or not kept.step_ids.isdisjoint(names):
                    keys += [(run_id, name) for name in names if not complete or name in kept.step_ids]
        versions, steps = store.lock_versions(tx, ids, keys)
        found: dict[str, Run] = {}
        changed: list[str] = []
        for run_id, version, updated_at in versions:
            run = runs[run_id]
            if run.version != version or run.updated_at != updated_at:
                changed.append(run_id)
            elif run_id in steps:
                found[run_id] = replace(run, steps=steps[run_id])
            else:
                found[run_id] = run
        return found | store.load(tx, changed, step_ids) if changed else found

    def _keep(self, run: Run) -> None:
        if run.lease is None or not run.lease.live or run.error is not None:
            # The errors of attempts that failed would be many bytes.
            self._kept.pop(run.id, None)
            return
        bare = replace(run, steps={}, values={}) if run.steps or run.values else run
        kept = self._kept.get(run.id)
        if kept is None:
            if len(self._kept) >= self._runs_max:
                self._kept.popitem(last=False)
            self._kept[run.id] = kept = _Kept(bare, set())
        kept.run = bare
        if len(kept.step_ids) < STEPS_MAX:
            kept.step_ids.update([step_id for step_id in run.steps if len(step_id) <= STEP_ID_CHARS_MAX])

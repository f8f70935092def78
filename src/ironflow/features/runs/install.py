"""Puts the feature into a server."""

from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.parts import Metric, Parts, Samples
from ironflow.features.runs.deleting import RunDeletion
from ironflow.features.runs.held import HeldRuns
from ironflow.features.runs.inheriting import Inheritance
from ironflow.features.runs.live import LiveSteps
from ironflow.features.runs.long_runs import log_long_runs
from ironflow.features.runs.loops import AdmitQueued, PurgeRuns
from ironflow.features.runs.measures import RunMeasures
from ironflow.features.runs.queries import count_active, count_active_by_environment, count_by_status
from ironflow.features.runs.repository import RunRepository
from ironflow.features.runs.service import Runs
from ironflow.storage.port import Tx


def install(parts: Parts) -> None:
    inheritance = parts.provide(Inheritance(parts.settings.inherited_metadata.replace(",", " ").split()))
    held = HeldRuns()
    parts.db.on_published(held.receive)
    repository = parts.provide(RunRepository(parts.need(FunctionIndex), parts.ids, inheritance, held, parts.tracing))
    live, deletion = parts.provide(LiveSteps()), parts.provide(RunDeletion())
    runs = parts.provide(Runs(parts.db, parts.notifier, repository, live, deletion))
    parts.bind(runs.handlers())
    parts.loops += [PurgeRuns(parts.db, deletion, parts.settings.run_retention_days), AdmitQueued(parts.db, repository)]
    parts.counters["active_runs"] = count_active
    measures = RunMeasures()
    parts.db.on_published(measures.receive)
    parts.db.on_published(log_long_runs)
    parts.metrics += measures.metrics()
    parts.metrics.append(
        Metric(
            "ironflow_active_runs", "Runs that have not ended.", "gauge", ("environment",), look=_active_by_environment
        )
    )
    parts.metrics.append(
        Metric("ironflow_runs", "Runs that are not completed, by status.", "gauge", ("status",), look=_by_status)
    )


def _active_by_environment(tx: Tx) -> Samples:
    return {(environment,): count for environment, count in count_active_by_environment(tx).items()}


def _by_status(tx: Tx) -> Samples:
    return {(status,): count for status, count in count_by_status(tx).items()}

"""Puts the feature into a server."""

from ironflow.features.entities.in_tx import StateWriter
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.jobs import store
from ironflow.features.jobs.enrichment import ReportEnricher
from ironflow.features.jobs.loops import EvictWorkers, ForgetVersions, OfferAgain, ReclaimLeases
from ironflow.features.jobs.measures import WorkerMeasures
from ironflow.features.jobs.recording import ReportRecorder
from ironflow.features.jobs.rules import Timing
from ironflow.features.jobs.service import Jobs
from ironflow.features.log_lines.in_tx import Keeping
from ironflow.features.nodes.service import Nodes
from ironflow.features.parts import Metric, Parts, Samples
from ironflow.features.runs.in_tx import LiveSteps, RunRepository
from ironflow.features.secrets.in_tx import Vault
from ironflow.storage.port import Tx


def install(parts: Parts) -> None:
    settings, db, repository = parts.settings, parts.db, parts.need(RunRepository)
    timing = parts.provide(
        Timing(
            lease_ms=settings.lease_ms,
            reservation_ms=settings.reservation_ms,
            evict_ms=settings.worker_evict_ms,
            losses_max=settings.lease_losses_max,
        )
    )
    index, live, bytes_max = parts.need(FunctionIndex), parts.need(LiveSteps), settings.output_bytes_max
    states, vault, keeping = parts.need(StateWriter), parts.need(Vault), parts.need(Keeping)
    enricher = ReportEnricher(index, parts.ids, timing, states)
    recorder = ReportRecorder(db, repository, index, enricher, vault, keeping, states)
    jobs = parts.provide(
        Jobs(
            db,
            repository,
            index,
            recorder,
            parts.ids,
            parts.clock,
            timing,
            live,
            bytes_max,
            vault,
            keeping,
            parts.tracing,
        )
    )
    parts.bind(jobs.handlers())
    parts.need(Nodes).on_ended(jobs.take_over)
    recorder.keys_of_short = jobs.matcher.keys_of_short
    parts.follow(jobs.matcher)
    parts.follow(jobs.revocations)
    for topic in ("job_revoked", "job_winding_down"):
        parts.notifier.listen(topic, jobs.revocations.on_revoked)
    parts.loops += [ReclaimLeases(db, repository, timing), EvictWorkers(db, timing), OfferAgain(db, jobs.matcher)]
    parts.loops.append(ForgetVersions(db))
    parts.counters["connected_workers"] = lambda tx: store.count_live(tx, parts.clock.now() - timing.evict_ms)
    measures = WorkerMeasures()
    db.on_published(measures.receive)

    def connected(tx: Tx) -> Samples:
        oldest = parts.clock.now() - timing.evict_ms
        return {(environment,): count for environment, count in store.count_live_by_environment(tx, oldest).items()}

    parts.metrics += [
        *measures.metrics(),
        Metric("ironflow_workers_connected", "Workers seen recently.", "gauge", ("environment",), look=connected),
        Metric(
            "ironflow_jobs_ready",
            "Jobs no worker has taken.",
            "gauge",
            ("environment", "function_id"),
            look=_ready,
        ),
        Metric(
            "ironflow_polls_waiting",
            "Polls held until there is a job.",
            "gauge",
            read=lambda: {(): jobs.matcher.waiting()},
        ),
    ]


def _ready(tx: Tx) -> Samples:
    return {(environment, function_id): count for environment, function_id, count in store.queue(tx)}

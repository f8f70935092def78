"""Puts the feature into a server."""

from ironflow.features.jobs.service import Jobs
from ironflow.features.parts import Parts
from ironflow.features.runs.service import LiveSteps
from ironflow.features.streaming_workers.service import StreamingWorkers


def install(parts: Parts) -> None:
    # The HTTP server cuts off at the half what has not ended.
    drain_ms = parts.settings.shutdown_ms * 2 // 5
    workers = StreamingWorkers(parts.need(Jobs), parts.need(LiveSteps), parts.clock, drain_ms, parts.node)
    parts.bind(workers.handlers())
    parts.follow(workers)
    parts.notifier.listen("job_revoked", workers.on_revoked)
    parts.notifier.listen("job_winding_down", workers.on_winding_down)

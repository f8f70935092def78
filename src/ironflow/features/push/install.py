"""Puts the feature into a server."""

from collections.abc import Callable, Sequence

from ironflow.base.addresses import LOOPBACK, Network, networks_of
from ironflow.base.outgoing import Poster
from ironflow.features.endpoints.in_tx import Limits
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.jobs.service import Jobs
from ironflow.features.parts import Metric, Parts
from ironflow.features.push.keys import SigningKeys, keys_in
from ironflow.features.push.loops import TryEndpoints
from ironflow.features.push.rules import Budget
from ironflow.features.push.service import Push, PushSettings


def install(parts: Parts, poster: Callable[[Sequence[Network]], Poster]) -> None:
    """poster: makes requests, to public addresses and to those in the networks that it is given."""
    settings = parts.settings
    allowed = networks_of(settings.push_allowed_networks)
    if settings.dev:
        allowed += networks_of(LOOPBACK)
    own = tuple(each for each in (settings.signing_key, settings.signing_key_previous) if each)
    fixed_url = settings.public_url.rstrip("/")
    push = parts.provide(
        Push(
            parts.db,
            parts.need(FunctionIndex),
            parts.need(Jobs),
            parts.clock,
            poster(allowed),
            PushSettings(
                budget=Budget(settings.push_budget_ms),
                answer_bytes_max=settings.push_answer_bytes_max,
                concurrency=settings.push_concurrency,
                limits=Limits(settings.push_failure_threshold, settings.push_open_ms, settings.push_open_ms_max),
                url=lambda: fixed_url or parts.address,
                keys=SigningKeys(own, keys_in(settings.signing_keys_file)),
                drain_s=settings.shutdown_ms / 2500,
                is_alone=parts.db.name == "sqlite",
                node=parts.node,
            ),
        )
    )
    parts.bind(push.handlers())
    parts.follow(push)
    parts.loops.append(TryEndpoints(parts.db, parts.need(FunctionIndex)))
    parts.notifier.listen("job_revoked", push.on_revoked)
    parts.notifier.listen("job_winding_down", push.on_winding_down)
    parts.metrics += [
        Metric(
            "ironflow_push_executions_total",
            "Requests to endpoints of push functions, by outcome.",
            "counter",
            ("outcome",),
            read=lambda: {(outcome,): count for outcome, count in push.outcomes.items()},
        ),
        Metric(
            "ironflow_push_in_flight",
            "Requests under way to endpoints of push functions.",
            "gauge",
            ("environment", "endpoint"),
            read=push.in_flight,
            of_tenants=True,
        ),
    ]

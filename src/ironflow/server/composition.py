"""The features of a server, in the order in which they are installed."""

import os
from collections.abc import Callable

from ironflow.base.version import VERSION
from ironflow.features.api_keys import in_tx as api_keys_in_tx
from ironflow.features.api_keys import install as api_keys
from ironflow.features.audit import install as audit
from ironflow.features.audit_notes import install as audit_notes
from ironflow.features.bulk import install as bulk
from ironflow.features.config import install as config
from ironflow.features.consumer_groups import in_tx as groups_in_tx
from ironflow.features.consumer_groups import install as consumer_groups
from ironflow.features.controls import install as controls
from ironflow.features.conversations import install as conversations
from ironflow.features.cron import install as cron
from ironflow.features.dead_letters import install as dead_letters
from ironflow.features.debounces import install as debounces
from ironflow.features.deploys import install as deploys
from ironflow.features.discovery import install as discovery
from ironflow.features.endpoints import install as endpoints
from ironflow.features.entities import install as entities
from ironflow.features.environment_deletions import install as environment_deletions
from ironflow.features.environments import in_tx as environments_in_tx
from ironflow.features.environments import install as environments
from ironflow.features.event_triggers import install as event_triggers
from ironflow.features.events import install as events
from ironflow.features.functions import install as functions
from ironflow.features.jobs import install as jobs
from ironflow.features.kv import install as kv
from ironflow.features.limits import install as limits
from ironflow.features.log_lines import install as log_lines
from ironflow.features.messages import install as messages
from ironflow.features.nodes import install as nodes
from ironflow.features.oidc import install as oidc
from ironflow.features.orgs import install as orgs
from ironflow.features.parts import Parts
from ironflow.features.policies import install as policies
from ironflow.features.projections import install as projections
from ironflow.features.projects import in_tx as projects_in_tx
from ironflow.features.projects import install as projects
from ironflow.features.pubsub import install as pubsub
from ironflow.features.push import install as push
from ironflow.features.query import install as query
from ironflow.features.redaction import install as redaction
from ironflow.features.roles import install as roles
from ironflow.features.run_logs import install as run_logs
from ironflow.features.runs import in_tx as runs_in_tx
from ironflow.features.runs import install as runs
from ironflow.features.runs.in_tx import RunRepository
from ironflow.features.schedules import install as schedules
from ironflow.features.schemas import install as schemas
from ironflow.features.secrets import install as secrets
from ironflow.features.secrets.in_tx import Vault
from ironflow.features.server_state import install as server_state
from ironflow.features.sessions import install as sessions
from ironflow.features.slots import install as slots
from ironflow.features.sql_projections import in_tx as sql_projections_in_tx
from ironflow.features.sql_projections import install as sql_projections
from ironflow.features.statistics import install as statistics
from ironflow.features.streaming_workers import install as streaming_workers
from ironflow.features.streams import install as streams
from ironflow.features.subscriptions import install as subscriptions
from ironflow.features.tenants import install as tenants
from ironflow.features.throttles import install as throttles
from ironflow.features.ticks import install as ticks
from ironflow.features.time_travel import install as time_travel
from ironflow.features.timers import install as timers
from ironflow.features.usage import install as usage
from ironflow.features.users import install as users
from ironflow.features.values import install as values
from ironflow.features.waits import install as waits
from ironflow.features.webhook_deliveries import install as webhook_deliveries
from ironflow.features.webhooks import in_tx as webhooks_in_tx
from ironflow.features.webhooks import install as webhooks
from ironflow.transports.openapi import document
from ironflow.transports.outbound import Outbound

# In this order: a feature comes after those whose parts it needs. A lambda hands a feature
# something of a feature that depends on it, which it cannot import itself.
FEATURES: list[Callable[[Parts], None]] = [
    # First, so that it starts before what holds anything, and stops after it.
    lambda parts: nodes.install(parts, chance=os.urandom),
    lambda parts: orgs.install(parts, count_projects=projects_in_tx.count_of_org),
    lambda parts: projects.install(parts, count_environments=environments_in_tx.count_of_project),
    lambda parts: environments.install(parts, revoke_keys=api_keys_in_tx.revoke_of),
    lambda parts: environment_deletions.install(
        parts, {"jobs": runs_in_tx.delete_leases, "webhook_sources": webhooks_in_tx.delete_some}
    ),
    policies.install,
    lambda parts: roles.install(parts, count_keys=api_keys_in_tx.count_by_role),
    api_keys.install,
    users.install,
    sessions.install,
    oidc.install,
    kv.install,
    config.install,
    secrets.install,
    lambda parts: audit_notes.install(parts, signer=parts.need(Vault)),
    tenants.install,
    usage.install,
    limits.install,
    functions.install,
    schemas.install,
    log_lines.install,
    slots.install,
    runs.install,
    run_logs.install,
    values.install,
    events.install,
    entities.install,
    jobs.install,
    lambda parts: timers.install(parts, wake=parts.need(RunRepository).wake_due),
    waits.install,
    throttles.install,
    streaming_workers.install,
    endpoints.install,
    lambda parts: push.install(parts, poster=lambda allowed: Outbound(allowed, f"ironflow/{VERSION}")),
    discovery.install,
    controls.install,
    deploys.install,
    statistics.install,
    bulk.install,
    debounces.install,
    ticks.install,
    cron.install,
    schedules.install,
    event_triggers.install,
    messages.install,
    webhook_deliveries.install,
    webhooks.install,
    streams.install,
    redaction.install,
    consumer_groups.install,
    lambda parts: dead_letters.install(parts, groups=groups_in_tx),
    subscriptions.install,
    pubsub.install,
    conversations.install,
    lambda parts: projections.install(parts, elsewhere=sql_projections_in_tx.standing),
    sql_projections.install,
    query.install,
    time_travel.install,
    audit.install,
    lambda parts: server_state.install(parts, openapi=lambda: document(list(parts.handlers))),
]

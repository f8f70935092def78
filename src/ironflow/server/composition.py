"""The server: features, wires and loops of one server, put together. No process, port or signal; tests build it too."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from ironflow.base.cel import evaluate_dear
from ironflow.base.ids import Ids
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.loop import Loop
from ironflow.base.settings import Settings
from ironflow.base.target import is_postgres
from ironflow.base.time import Clock, SystemClock
from ironflow.base.version import VERSION
from ironflow.dispatch import Dispatch, anonymous, enforce
from ironflow.features.api_keys import in_tx as api_keys_in_tx
from ironflow.features.api_keys import install as api_keys
from ironflow.features.api_keys.service import Authenticator, seed_first_key
from ironflow.features.audit import install as audit
from ironflow.features.audit_notes import install as audit_notes
from ironflow.features.audit_notes.service import Refusals
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
from ironflow.features.environments.service import EnvironmentNames
from ironflow.features.event_triggers import install as event_triggers
from ironflow.features.events import install as events
from ironflow.features.functions import install as functions
from ironflow.features.jobs import install as jobs
from ironflow.features.kv import install as kv
from ironflow.features.limits import install as limits
from ironflow.features.limits.service import Limiter
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
from ironflow.features.runs import install as runs
from ironflow.features.runs.in_tx import RunRepository
from ironflow.features.schedules import install as schedules
from ironflow.features.schemas import install as schemas
from ironflow.features.secrets import install as secrets
from ironflow.features.secrets.in_tx import Vault
from ironflow.features.server_state import install as server_state
from ironflow.features.sessions import install as sessions
from ironflow.features.sessions.service import Sessions
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
from ironflow.features.users.service import Passwords, seed_first_user
from ironflow.features.values import install as values
from ironflow.features.waits import install as waits
from ironflow.features.webhook_deliveries import install as webhook_deliveries
from ironflow.features.webhooks import in_tx as webhooks_in_tx
from ironflow.features.webhooks import install as webhooks
from ironflow.notify.open import open_notifier
from ironflow.notify.port import Notifier
from ironflow.server.clock import DatabaseClock, FollowClock, read_clock
from ironflow.server.descriptors import WatchDescriptors, connections_of, descriptors_max, descriptors_open
from ironflow.server.expressions import Evaluator
from ironflow.server.loops import Loops
from ironflow.server.telemetry.opening import open_telemetry
from ironflow.server.wires import Wires
from ironflow.storage.open import open_database, open_sandbox
from ironflow.storage.port import Database
from ironflow.storage.sandbox import Sandbox
from ironflow.transports.app import App
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
    lambda parts: environment_deletions.install(parts, {"webhook_sources": webhooks_in_tx.delete_some}),
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


@dataclass(slots=True)
class Server:
    """A server without its port: `app` is the ASGI application. lifecycles: what it starts, drains and stops."""

    parts: Parts
    dispatch: Dispatch
    app: App
    wires: Wires
    loops: Loops
    lifecycles: list[Lifecycle]

    @property
    def settings(self) -> Settings:
        return self.parts.settings

    @property
    def db(self) -> Database:
        return self.parts.db

    @property
    def notifier(self) -> Notifier:
        return self.parts.notifier

    @property
    def sandbox(self) -> Sandbox:
        return self.parts.sandbox

    @property
    def all_loops(self) -> list[Loop]:
        return self.parts.loops

    async def start(self) -> None:
        """Starts what goes on by itself. Tests that move time do without."""
        for part in self.lifecycles:
            await part.start()

    def drain(self) -> None:
        """Answers what is held back and asks clients to leave, so that the server can stop. Returns at once."""
        for part in self.lifecycles:
            part.drain()

    async def drained(self) -> None:
        """Returns when the clients that were asked have left, or did not react."""
        await asyncio.gather(*(part.drained() for part in self.lifecycles))

    def cut(self) -> None:
        """Ends what was given time to end by itself, and took too long."""
        for part in self.lifecycles:
            part.cut()

    async def stop(self) -> None:
        """Ends everything, the last part first, and closes the database."""
        for part in reversed(self.lifecycles):
            await part.stop()
        await self.sandbox.close()
        await self.db.close()
        await self.notifier.close()


async def build(
    settings: Settings,
    clock: Clock | None = None,
    chance: Callable[[int], bytes] = os.urandom,
    machine: Clock | None = None,
) -> Server:
    """Opens the database and puts everything together. Raises CannotOpen and its subclasses.

    clock: None for the database's where several nodes share it, else for the machine's. machine: the machine's own.
    """
    machine = machine or SystemClock()
    shared = DatabaseClock(machine) if clock is None and is_postgres(settings.db) else None
    clock = clock or shared or machine
    ids = Ids(clock, chance)
    notifier = open_notifier(settings.db, settings.node or ids.new("node"))
    db = await open_database(settings.db, notifier, clock.now(), settings.database_wait_ms)
    if shared is not None:
        # Before anything is written with a time.
        shared.set(await db.read(read_clock))
    await notifier.start()
    sandbox = await open_sandbox(settings.db, settings.sql_role)
    loops = Loops(clock, notifier, [])
    parts = Parts(
        settings=settings,
        clock=clock,
        ids=ids,
        db=db,
        notifier=notifier,
        sandbox=sandbox,
        node=ids.new("node"),
        started_at=clock.now(),
        loops_failing=loops.failing,
        loops=loops.loops,
    )
    telemetry = open_telemetry(parts)
    if shared is not None:
        parts.loops.append(FollowClock(db, shared))
        parts.warnings.append(lambda: shared.warning)
    evaluate_dear(parts.follow(Evaluator()))
    descriptors = WatchDescriptors(
        settings.connections_max or connections_of(descriptors_max()), descriptors_open() or 0
    )
    parts.loops.append(descriptors)
    parts.warnings.append(lambda: descriptors.warning)
    for install in FEATURES:
        install(parts)
    visitor = anonymous(clock, parts.need(EnvironmentNames).rows_as_or_named)
    if settings.enforces_auth:
        known_sessions = parts.need(Sessions)
        dispatch = Dispatch(known_sessions, enforce, visitor)
        parts.need(Authenticator).connections = known_sessions.connections = dispatch.connections
        await seed_first_key(db, ids, clock.now(), settings.key_file, settings.bootstrap_admin_key)
        if settings.bootstrap_admin_password:
            await seed_first_user(
                db,
                ids,
                parts.need(Passwords),
                clock.now(),
                settings.bootstrap_admin_email,
                settings.bootstrap_admin_password,
            )
    else:
        dispatch = Dispatch(visitor)
    dispatch.limiter = parts.need(Limiter)
    dispatch.on_refused = parts.need(Refusals).count
    dispatch.bind(parts.handlers)
    dispatch.bind_sockets(parts.sockets)
    wires = Wires(dispatch, parts, loops)
    if telemetry is not None:
        telemetry.join(dispatch, wires.metrics)
    return Server(parts, dispatch, wires.app, wires, loops, [*parts.lifecycles, *wires.lifecycles, loops])

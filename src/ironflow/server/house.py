"""The house: rooms, wires and loops of one server, put together. No process, port or signal; tests build it too."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from ironflow.base.ids import Ids
from ironflow.base.time import Clock, SystemClock
from ironflow.broker.port import Broker, LocalBroker
from ironflow.dispatch import Dispatch
from ironflow.engine.model import Policy
from ironflow.features.audit.loops import PurgeNotes
from ironflow.features.audit.service import Audit
from ironflow.features.bulk.loops import AdvanceBulk
from ironflow.features.bulk.service import BulkJobs
from ironflow.features.config.service import ConfigDocuments
from ironflow.features.consumer_groups import in_tx as consumer_groups_in_tx
from ironflow.features.consumer_groups.desk import Desk as GroupDesk
from ironflow.features.consumer_groups.loops import KeepMembers, PurgeDeadLetters, Redeliver
from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.features.controls.service import Controls
from ironflow.features.cron.loops import FireCron
from ironflow.features.debounces.loops import FireDebounces
from ironflow.features.debounces.service import Debounces
from ironflow.features.events.emitting import Emitter
from ironflow.features.events.loops import ForgetKeys, PurgeEvents
from ironflow.features.events.service import Events
from ironflow.features.functions.index import FunctionIndex
from ironflow.features.functions.service import Functions
from ironflow.features.functions.store import count as count_functions
from ironflow.features.jobs import store as jobs_store
from ironflow.features.jobs.desk import Desk
from ironflow.features.jobs.informing import Informer
from ironflow.features.jobs.loops import EvictWorkers, OfferAgain, ReclaimLeases
from ironflow.features.jobs.rules import Timing
from ironflow.features.jobs.service import Jobs
from ironflow.features.kv.loops import Expire
from ironflow.features.kv.service import KeyValue
from ironflow.features.projections import in_tx as projections_in_tx
from ironflow.features.projections.feeder import Feeder
from ironflow.features.projections.loops import EndRebuilds, ForgetStates
from ironflow.features.projections.rebuilds import Rebuilds
from ironflow.features.projections.saving import History
from ironflow.features.projections.service import Projections
from ironflow.features.projections.waits import Waits
from ironflow.features.pubsub.service import PubSub
from ironflow.features.query.service import Query
from ironflow.features.redaction.service import Redaction
from ironflow.features.runs.ledger import Ledger
from ironflow.features.runs.live import LiveSteps
from ironflow.features.runs.loops import AdmitQueued, ForgetShapes, PurgeRuns
from ironflow.features.runs.queries import count_active
from ironflow.features.runs.service import Runs
from ironflow.features.schemas.enforcing import SchemaGuard
from ironflow.features.schemas.service import EventSchemas
from ironflow.features.server_state.service import About, ServerState
from ironflow.features.sql_projections import in_tx as sql_projections_in_tx
from ironflow.features.sql_projections.face import Face
from ironflow.features.sql_projections.following import Follower
from ironflow.features.sql_projections.loops import FollowLog, SweepPlaces
from ironflow.features.sql_projections.service import SqlProjections
from ironflow.features.streaming_workers.service import StreamingWorkers
from ironflow.features.streams.service import Limits, Streams
from ironflow.features.subscriptions.relay import Relay
from ironflow.features.subscriptions.service import Subscriptions
from ironflow.features.subscriptions.system import SystemFeed
from ironflow.features.time_travel.loops import ForgetRecordings
from ironflow.features.time_travel.service import TimeTravel
from ironflow.features.timers.loops import FireTimers
from ironflow.log.holds import slowest_follower
from ironflow.log.tail import Tail
from ironflow.server.loops import Loop, Loops
from ironflow.server.metrics import Live, Metrics
from ironflow.server.settings import Settings
from ironflow.storage.open import is_postgres, open_database, open_sandbox
from ironflow.storage.port import Database
from ironflow.storage.sandbox import Sandbox
from ironflow.transports.connect_codecs import Codecs
from ironflow.transports.connect_streams import ConnectStreams
from ironflow.transports.connectrpc import PREFIX, Connect
from ironflow.transports.context import CallContext
from ironflow.transports.event_stream import EventStreams
from ironflow.transports.http import App
from ironflow.transports.openapi import OpenApi
from ironflow.transports.rest import Rest
from ironflow.transports.websocket import Sockets

NO_AUTH = "Authentication is not enforced by this version; keep the port private."


@dataclass(slots=True)
class House:
    """A server without its port: `app` is the ASGI application."""

    settings: Settings
    clock: Clock
    db: Database
    broker: Broker
    dispatch: Dispatch
    app: App
    loops: Loops
    all_loops: list[Loop]
    desk: Desk
    groups: GroupDesk
    streams: ConnectStreams
    event_streams: EventStreams
    sockets: Sockets
    sandbox: Sandbox
    subscriptions: Subscriptions
    workers: StreamingWorkers

    def let_go(self) -> None:
        """Answers what is held back and ends the streams, so that the server can stop."""
        self.desk.close()
        self.groups.close()
        self.workers.close()
        self.streams.let_go()
        self.event_streams.let_go()
        self.sockets.let_go()

    async def until_let_go(self) -> None:
        """Returns when every socket has heard that the server stops, or would not listen."""
        await self.sockets.until_closed()

    def let_go_of_all(self) -> None:
        """Ends the streams that wanted to end by themselves, and took too long."""
        self.streams.let_go(all_of_them=True)

    def start_loops(self) -> None:
        self.loops.start(self.all_loops)

    async def close(self) -> None:
        await self.loops.close()
        await self.subscriptions.close()
        await self.sandbox.close()
        await self.db.close()
        await self.broker.close()


async def build(settings: Settings, clock: Clock | None = None, chance: Callable[[int], bytes] = os.urandom) -> House:
    """Opens the database and puts everything together. Raises CannotOpen and its kinds."""
    clock = clock or SystemClock()
    ids = Ids(clock, chance)
    broker = _broker(settings, ids)
    db = await open_database(settings.db, broker, clock.now())
    await broker.start()
    sandbox = await open_sandbox(settings.db, settings.sql_role)
    follower = Follower(db, sandbox, settings.sql_statement_ms)
    sql_projections = SqlProjections(db, sandbox, follower)
    timing = Timing(
        lease_ms=settings.lease_ms,
        reservation_ms=settings.reservation_ms,
        evict_ms=settings.worker_evict_ms,
        losses_max=settings.lease_losses_max,
    )
    index = FunctionIndex(_policy(settings))
    ledger = Ledger(index, ids)
    running = LiveSteps()
    runs = Runs(db, broker, ledger, running)
    schemas = SchemaGuard(settings.event_schema_enforcement)
    informer = Informer(index, ids, timing)
    jobs = Jobs(db, ledger, informer, ids, clock, timing, settings.output_bytes_max)
    # Also when the operator named the node: members of its former life are not its own.
    life = ids.new("node")
    groups = ConsumerGroups(db, broker, ids, clock, life)
    tail = Tail(db)
    subscriptions = Subscriptions(db, tail, SystemFeed(settings.system_events_kept, clock.now()), groups)
    workers = StreamingWorkers(jobs, running, clock, settings.shutdown_ms // 2)
    system = SystemFeed(settings.system_events_kept, clock.now())
    subscriptions = Subscriptions(db, tail, system, groups)
    loops = Loops(clock, broker)
    about = About(
        started_at=clock.now(),
        auth_required=False,
        warnings=() if settings.dev else (NO_AUTH,),
        counters={
            "function_count": count_functions,
            "active_runs": count_active,
            "connected_workers": lambda tx: jobs_store.count_live(tx, clock.now() - timing.evict_ms),
        },
        loops_failing=lambda: loops.failing,
    )
    emitter = Emitter(index, ledger, ids, schemas)
    rooms = [
        ServerState(db, about),
        KeyValue(db, broker),
        ConfigDocuments(db, broker),
        Functions(db, index),
        Events(db, emitter, runs, ids, settings.event_bytes_max),
        Streams(
            db, emitter, ids, Limits(settings.event_bytes_max, settings.snapshot_bytes_max, settings.snapshots_kept)
        ),
        EventSchemas(db),
        Redaction(db, ids),
        runs,
        jobs,
        workers,
        Controls(db, ledger, timing.evict_ms),
        BulkJobs(db, ids),
        Debounces(db, ids),
        PubSub(db, ids, settings.event_bytes_max),
        subscriptions,
        groups,
        TimeTravel(db),
        Audit(db, settings.run_retention_days),
        sql_projections,
        Projections(
            db,
            ids,
            History(settings.projection_history_every_ms, settings.projection_history_days),
            settings.projection_state_bytes_max,
        ),
        Rebuilds(db, ids),
        Waits(db, broker, settings.projection_waits_max, sql_projections_in_tx.standing),
        Feeder(db, broker, clock, ids),
        Query(db, sandbox),
    ]
    dispatch = Dispatch()
    for room in rooms:
        dispatch.bind(room.handlers())
    dispatch.bind_sockets(subscriptions.sockets())
    sql_face = Face(db, sql_projections, {key: each for room in rooms for key, each in room.handlers().items()})
    dispatch.bind(sql_face.handlers())
    context = CallContext(clock)
    codecs = Codecs()
    streams = ConnectStreams(dispatch, context, settings.body_bytes_max, codecs)
    sockets = Sockets(dispatch, context)
    event_streams = EventStreams(dispatch, context)

    def live() -> Live:
        connections = {"websocket": sockets.open, "event_stream": event_streams.open, "stream": streams.open}
        return Live(connections, subscriptions.tally.open, subscriptions.tally.dropped)

    app = App(
        [
            (PREFIX, Connect(dispatch, context, settings.body_bytes_max, codecs)),
            ("/", Rest(dispatch, context)),
        ],
        {
            "/metrics": Metrics(db, dispatch.counts, jobs.desk.waiting, schemas.counts, live),
            "/api/v1/openapi.json": OpenApi(dispatch.operations),
        },
        settings.body_bytes_max,
        (streams, event_streams),
        sockets,
    )
    all_loops: list[Loop] = [
        tail,
        *([Relay(db, broker, system, clock, life)] if is_postgres(settings.db) else []),
        FireTimers(db, ledger.wake_due),
        ReclaimLeases(db, ledger, timing),
        EvictWorkers(db, timing),
        OfferAgain(db, jobs.desk),
        Expire(db),
        ForgetKeys(db),
        # Whoever reads the log with a cursor of its own has a hold here: nothing is removed before it was read.
        PurgeEvents(
            db,
            settings.event_retention_days,
            [slowest_follower, projections_in_tx.slowest, sql_projections_in_tx.slowest, consumer_groups_in_tx.slowest],
        ),
        PurgeRuns(db, settings.run_retention_days),
        PurgeNotes(db, settings.run_retention_days),
        ForgetRecordings(db),
        ForgetShapes(db),
        AdvanceBulk(db, ledger),
        FireDebounces(db, ledger, index, ids),
        FireCron(db, ledger, index, ids),
        AdmitQueued(db, ledger),
        Redeliver(db),
        KeepMembers(db, groups, life),
        PurgeDeadLetters(db, settings.dead_letter_retention_days),
        FollowLog(db, sandbox, follower),
        SweepPlaces(db, sandbox),
        EndRebuilds(db),
        ForgetStates(db, settings.projection_history_days),
    ]
    return House(
        settings=settings,
        clock=clock,
        db=db,
        broker=broker,
        dispatch=dispatch,
        app=app,
        loops=loops,
        all_loops=all_loops,
        desk=jobs.desk,
        groups=groups.desk,
        streams=streams,
        event_streams=event_streams,
        sockets=sockets,
        sandbox=sandbox,
        workers=workers,
        subscriptions=subscriptions,
    )


def _broker(settings: Settings, ids: Ids) -> Broker:
    if not is_postgres(settings.db):
        return LocalBroker()
    from ironflow.broker.postgres import PostgresBroker

    return PostgresBroker(settings.db, settings.node or ids.new("node"))


def _policy(settings: Settings) -> Policy:
    return Policy(
        max_attempts=settings.max_attempts,
        initial_delay_ms=settings.initial_delay_ms,
        backoff_factor=settings.backoff_factor,
        max_delay_ms=settings.max_delay_ms,
        on_exhausted=settings.on_exhausted,
        timeout_ms=settings.function_timeout_ms,
    )

"""One server, put together and started. No process, port or signal; tests build it too."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from ironflow.base.cel import evaluate_dear
from ironflow.base.ids import Ids
from ironflow.base.lifecycle import Lifecycle
from ironflow.base.loop import Loop
from ironflow.base.settings import Settings
from ironflow.base.time import Clock, SystemClock
from ironflow.dispatch import Dispatch, anonymous, enforce
from ironflow.features.api_keys.service import Authenticator, seed_first_key
from ironflow.features.audit_notes.service import Refusals
from ironflow.features.environments.service import EnvironmentNames
from ironflow.features.limits.service import Limiter
from ironflow.features.parts import Parts
from ironflow.features.sessions.service import Sessions
from ironflow.features.users.service import Passwords, seed_first_user
from ironflow.notify.open import open_notifier
from ironflow.notify.port import Notifier
from ironflow.server.clock import DatabaseClock, FollowClock, read_clock
from ironflow.server.composition import FEATURES
from ironflow.server.descriptors import WatchDescriptors, connections_of, descriptors_max, descriptors_open
from ironflow.server.expressions import Evaluator
from ironflow.server.loops import Loops
from ironflow.server.telemetry.opening import open_telemetry
from ironflow.server.wires import Wires
from ironflow.storage.open import open_database, open_sandbox
from ironflow.storage.port import Database
from ironflow.storage.sandbox import Sandbox
from ironflow.transports.app import App


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
    notifier = open_notifier(settings.db, settings.node or Ids(clock or machine, chance).new("node"))
    shared = DatabaseClock(machine) if clock is None and notifier.spans_nodes else None
    clock = clock or shared or machine
    ids = Ids(clock, chance)
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

"""Every operation, socket and frame requires the scopes that the table records, and no others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

import pytest

from ironflow.base.call import Call, allow_all
from ironflow.base.errors import PermissionDenied
from ironflow.base.json import write_json_text
from ironflow.base.operation import Operation
from ironflow.base.socket import SocketClosed
from ironflow.base.time import to_datetime
from ironflow.features.bulk import contract as bulk
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.consumer_groups.service import ConsumerGroups
from ironflow.features.conversations import contract as conversations
from ironflow.features.discovery import contract as discovery
from ironflow.features.event_triggers import contract as event_triggers
from ironflow.features.events import contract as events
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.messages import contract as messages
from ironflow.features.projections import contract as projections
from ironflow.features.query import contract as query
from ironflow.features.redaction import contract as redaction
from ironflow.features.schedules import contract as schedules
from ironflow.features.schemas import contract as schemas
from ironflow.features.sql_projections import contract as sql_projections
from ironflow.features.statistics import contract as statistics
from ironflow.features.streams import contract as streams
from ironflow.features.subscriptions import contract as subscriptions
from ironflow.features.users import contract as users
from tests.structure.scopes import declared, recorded, text
from tests.support.work import Work, step

NOTHING: Any = None


class Scopes:
    """Stands in for a permission check: records what is asked. refused: scopes that the caller does not have."""

    def __init__(self, *refused: str) -> None:
        self.asked: list[str] = []
        self._refused = refused

    def __call__(self, call: Call, scope: str, request: Any) -> None:
        self.asked.append(scope)
        if scope in self._refused or "*" in self._refused:
            raise PermissionDenied(f"{scope} is refused.")


def test_the_table_records_what_is_declared():
    assert text(recorded()) == text(declared()), "run `python -m tests.structure.scopes` and compare"


def test_every_scope_that_is_asked_besides_is_the_scope_of_an_operation():
    scopes = {asked.scope for asked in declared().values()}
    assert {scope for asked in declared().values() for scope in asked.besides} <= scopes


async def test_nothing_is_reached_before_its_scope_was_required(server: Work):
    """Operations, streams and sockets as the server has bound them; none of them is given a request."""
    dispatch = server.dispatch
    found: dict[str, str] = {}

    async def first_scope(reach: Callable[[Call], Awaitable[Any]], name: str) -> None:
        dispatch.authorise = scopes = Scopes("*")
        with pytest.raises(PermissionDenied):
            await reach(a_call(server, scopes))
        (found[name],) = scopes.asked

    for operation in dispatch.operations:
        if operation.streaming == "unary":
            await first_scope(lambda call, operation=operation: dispatch(operation, call, NOTHING), operation.name)
        else:
            await first_scope(lambda call, operation=operation: first(dispatch, operation, call), operation.name)
    for route in dispatch.sockets:
        await first_scope(lambda call, route=route: dispatch.socket(route, Socket(call)), route.name)

    assert found == {name: asked.scope for name, asked in recorded().items()}


async def first(dispatch: Any, operation: Operation[Any, Any], call: Call) -> Any:
    async with aclosing(dispatch.stream(operation, call, NOTHING)) as answers:
        return await anext(answers)


class Socket:
    """A socket whose client the test plays."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.values: Mapping[str, str] = {}
        self._sent: asyncio.Queue[str] = asyncio.Queue()
        self._received: asyncio.Queue[str | None] = asyncio.Queue()

    async def accept(self) -> None: ...

    async def close(self, code: int = 1000, reason: str = "") -> None: ...

    async def until_closed(self) -> None: ...

    async def receive(self) -> str:
        frame = await self._received.get()
        if frame is None:
            raise SocketClosed
        return frame

    async def send(self, text: str) -> None:
        self._sent.put_nowait(text)

    def send_frame(self, frame: dict[str, Any] | None) -> None:
        self._received.put_nowait(None if frame is None else write_json_text(frame))

    async def until(self, text: str) -> str:
        """The next frame that has this text in it."""
        async with asyncio.timeout(10):
            while text not in (frame := await self._sent.get()):
                pass
        return frame


def a_call(server: Work, scopes: Scopes) -> Call:
    return Call(environment="default", now=server.now, authorise=scopes)


async def asked(server: Work, operation: Operation[Any, Any], **fields: Any) -> set[str]:
    """The scopes that one request asks for, its operation's own included."""
    server.dispatch.authorise = scopes = Scopes()
    request = operation.request(**fields)
    call = a_call(server, scopes)
    if operation.streaming == "unary":
        await server.dispatch(operation, call, request)
    else:
        sent: Any = an_iterator(request) if operation.streaming == "bidi" else request
        async with aclosing(server.dispatch.stream(operation, call, sent)) as answers:
            await anext(answers)
    return set(scopes.asked)


async def an_iterator(*messages: Any) -> AsyncIterator[Any]:
    for message in messages:
        yield message


async def bulk_cancel_and_delete(server: Work) -> set[str]:
    cancelled = await asked(server, bulk.start, action="cancel", function_id="f")
    return cancelled | await asked(server, bulk.start, action="delete", function_id="f")


async def join_a_group_of_entities(server: Work) -> set[str]:
    await server.call(groups.create, name="g", pattern="entity:cart.>")
    return await asked(server, groups.join, group_name="g")


async def join_in_both_directions(server: Work) -> set[str]:
    await server.call(groups.create, name="g", pattern="entity:cart.>")
    join = groups.ToServer(join=groups.JoinGroup(group_name="g"))
    server.dispatch.authorise = scopes = Scopes()
    open_ = asyncio.Event()

    async def sent() -> AsyncIterator[Any]:
        yield join
        await open_.wait()

    answers = server.dispatch.stream(groups.subscribe, a_call(server, scopes), sent())
    async with aclosing(answers):
        await anext(answers)
    return set(scopes.asked)


async def read_the_events_of_a_projection(server: Work) -> set[str]:
    await server.call(projections.register, name="p", mode="managed", events=["a"])
    return await asked(server, projections.events, name="p")


async def query_every_view(server: Work) -> set[str]:
    views = ("events", "runs", "steps", "streams", "functions", "projections")
    names = " UNION ALL ".join(f"SELECT count(*) AS n FROM {view}" for view in views)
    return await asked(server, query.execute, query=names)


async def map_what_led_to_what(server: Work) -> set[str]:
    return await asked(server, statistics.flows)


async def redact_a_run(server: Work) -> set[str]:
    await server.a_function(retry={"max_attempts": 1})
    await server.a_worker()
    (run_id,) = (await server.emit()).run_ids
    job = await server.claim()
    await server.report(job, "completed", step(job, "one", 1), output=1)
    return await asked(server, redaction.redact_run, id=run_id)


async def history_of_an_entity(server: Work) -> set[str]:
    return await asked(server, streams.history, entity_id="cart-1")


async def trigger_recorded_events(server: Work) -> set[str]:
    await server.a_function("f", on="order.placed")
    return await asked(server, event_triggers.trigger, function_id="f")


async def subscribe_to(server: Work, operation: Operation[Any, Any], pattern: str, **options: Any) -> set[str]:
    fields = {"options": subscriptions.SubscribeOptions(**options)} if options else {}
    return await asked(server, operation, pattern=pattern, **fields)


async def subscribe(server: Work) -> set[str]:
    everything = await subscribe_to(server, subscriptions.subscribe, "system.>")
    entities = await subscribe_to(server, subscriptions.subscribe, "entity:cart.>")
    member = await subscribe_to(server, subscriptions.subscribe, "order.*", consumer_group="g")
    return everything | entities | member


async def watch(server: Work) -> set[str]:
    everything = await subscribe_to(server, subscriptions.watch, "system.>")
    return everything | await subscribe_to(server, subscriptions.watch, "entity:cart.>")


async def converse_over_the_socket(server: Work) -> set[str]:
    server.dispatch.authorise = scopes = Scopes()
    socket = Socket(a_call(server, scopes))
    serving = asyncio.create_task(server.dispatch.socket(conversations.socket, socket))
    socket.send_frame({"type": "subscribe", "subscription": {"pattern": "system.>"}})
    await socket.until("subscription_result")
    group = {"consumerGroup": "g", "ackMode": "manual"}
    socket.send_frame({"type": "subscribe", "subscription": {"pattern": "order.*", "options": group}})
    await socket.until("subscription_result")
    server.dispatch.authorise = allow_all
    event_id = (await server.call(events.emit, event="order.placed")).event_id
    await server.part(ConsumerGroups).matcher.idle()
    await socket.until(event_id)
    scopes.asked = [scope for scope in scopes.asked if scope != groups.ack.scope] + ["before the ack"]
    socket.send_frame({"type": "ack", "eventId": event_id, "ackType": "ack"})
    socket.send_frame(None)
    with suppress(SocketClosed):
        await serving
    assert scopes.asked[-1] == groups.ack.scope
    return set(scopes.asked) - {"before the ack"}


async def a_schedule(server: Work) -> None:
    await server.a_function("f")
    await server.call(schedules.create, id="s", function_id="f", every_ms=60_000)


async def create_a_schedule(server: Work) -> set[str]:
    await server.a_function("f")
    return await asked(server, schedules.create, id="s", function_id="f", every_ms=60_000)


async def change_a_schedule(server: Work) -> set[str]:
    await a_schedule(server)
    return await asked(server, schedules.change, id="s", description="d")


async def resume_a_schedule(server: Work) -> set[str]:
    await a_schedule(server)
    return await asked(server, schedules.resume, id="s")


async def trigger_a_schedule(server: Work) -> set[str]:
    await a_schedule(server)
    return await asked(server, schedules.trigger, id="s")


async def backfill_a_schedule(server: Work) -> set[str]:
    await a_schedule(server)
    since, until = to_datetime(server.now - 300_000), to_datetime(server.now)
    return await asked(server, schedules.backfill, id="s", since=since, until=until)


async def check_past_events(server: Work) -> set[str]:
    return await asked(server, schemas.check_events, event_name="order.placed", schema_json="{}")


async def discover_an_endpoint(server: Work) -> set[str]:
    server.dispatch.authorise = scopes = Scopes()
    with suppress(InvalidFunction):
        await server.dispatch(discovery.discover, a_call(server, scopes), discovery.DiscoverEndpoint(url="nowhere"))
    return set(scopes.asked)


CASES: dict[str, Callable[[Work], Awaitable[set[str]]]] = {
    bulk.start.name: bulk_cancel_and_delete,
    discovery.discover.name: discover_an_endpoint,
    event_triggers.trigger.name: trigger_recorded_events,
    groups.join.name: join_a_group_of_entities,
    groups.subscribe.name: join_in_both_directions,
    projections.events.name: read_the_events_of_a_projection,
    query.execute.name: query_every_view,
    redaction.redact_run.name: redact_a_run,
    schedules.create.name: create_a_schedule,
    schedules.change.name: change_a_schedule,
    schedules.resume.name: resume_a_schedule,
    schedules.trigger.name: trigger_a_schedule,
    schedules.backfill.name: backfill_a_schedule,
    schemas.check_events.name: check_past_events,
    statistics.flows.name: map_what_led_to_what,
    streams.history.name: history_of_an_entity,
    conversations.socket.name: converse_over_the_socket,
    subscriptions.subscribe.name: subscribe,
    subscriptions.watch.name: watch,
}
# Held by a test of its own, where the way to it is long.
ELSEWHERE = {
    redaction.redact_event.name: "tests/redaction",
    messages.send.name: "tests/messages",
    messages.ask.name: "tests/messages",
    users.disable.name: "tests/users",
}


def test_each_operation_that_asks_for_more_has_a_case():
    assert {name for name, each in recorded().items() if each.besides} == CASES.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("name", CASES)
async def test_a_request_that_acts_as_another_operation_requires_its_scope(server: Work, name: str):
    scopes = await CASES[name](server)

    assert scopes == {recorded()[name].scope, *recorded()[name].besides}


async def test_a_subscription_with_a_group_is_refused_without_the_scopes_of_groups(server: Work):
    request = subscriptions.Subscribe(pattern="order.*", options=subscriptions.SubscribeOptions(consumer_group="g"))
    for refused in (groups.join.scope, groups.create.scope):
        server.dispatch.authorise = scopes = Scopes(refused)
        with pytest.raises(PermissionDenied):
            await anext(server.dispatch.stream(subscriptions.subscribe, a_call(server, scopes), request))

    assert (await server.call(groups.list_)).groups == []


async def test_a_frame_that_is_refused_is_answered_and_the_socket_stays(server: Work):
    scopes = Scopes(groups.join.scope)
    socket = Socket(a_call(server, scopes))
    serving = asyncio.create_task(server.dispatch.socket(conversations.socket, socket))
    socket.send_frame({"type": "subscribe", "subscription": {"pattern": "a", "options": {"consumerGroup": "g"}}})

    assert '"code":"UNAUTHORIZED"' in await socket.until("subscription_result")

    socket.send_frame({"type": "subscribe", "subscription": {"pattern": "a"}})
    assert '"status":"ok"' in await socket.until("subscription_result")
    socket.send_frame(None)
    with suppress(SocketClosed):
        await serving


async def test_projections_of_sql_ask_for_the_scope_of_the_operation_that_they_act_as(server: Work):
    pairs = {
        projections.pause: sql_projections.pause,
        projections.resume: sql_projections.resume,
        projections.delete: sql_projections.delete,
        projections.rebuild: sql_projections.rebuild,
        projections.get: sql_projections.get,
        projections.list_: sql_projections.list_,
    }
    assert [outer.scope for outer in pairs] == [inner.scope for inner in pairs.values()]

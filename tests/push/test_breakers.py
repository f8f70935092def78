"""Circuit breakers of endpoints: the rules as tables, and a server whose endpoint fails and comes back."""

from typing import Any

import pytest
from aiohttp import web

from ironflow.base.json import read_json
from ironflow.base.time import to_millis
from ironflow.features.controls import contract as controls
from ironflow.features.endpoints import contract as endpoints
from ironflow.features.endpoints.rules import CLOSED, Breaker, Limits, decide_capacity, decide_failed, state_of
from ironflow.features.push.service import Push
from ironflow.features.subscriptions.rules import pattern_of, scopes_shown
from tests.push.endpoint import an_endpoint, completed, eventually, until
from tests.subscriptions.following import following
from tests.support.server import open_server
from tests.support.work import Work, text_of

LIMITS = Limits(5, 60_000, 600_000)


def test_five_failures_in_a_row_open_a_breaker_and_each_failed_trial_doubles_its_time():
    breaker, now, spans = CLOSED, 1_000, []
    for number in range(1, 5):
        breaker = decide_failed(breaker, LIMITS, "down", now)
        assert (breaker.failures, state_of(breaker, now)) == (number, "closed")
    for _ in range(6):
        breaker = decide_failed(breaker, LIMITS, "down", now)
        assert state_of(breaker, now) == "open"
        spans.append(breaker.open_until - now)
        now = breaker.open_until
        assert state_of(breaker, now) == "half_open"
    assert spans == [60_000, 120_000, 240_000, 480_000, 600_000, 600_000]


def test_requests_under_way_when_a_breaker_opened_do_not_open_it_longer():
    opened = decide_failed(Breaker(failures=4), LIMITS, "down", 0)
    assert decide_failed(opened, LIMITS, "down too", 10).open_until == opened.open_until == 60_000


@pytest.mark.parametrize(
    ("breaker", "unfinished", "capacity"),
    [
        (CLOSED, 0, 10),
        (CLOSED, 10, 0),
        (CLOSED, 12, 0),
        (Breaker(5, 1, open_until=101), 0, 0),
        (Breaker(5, 1, open_until=100), 0, 1),
        (Breaker(5, 1, open_until=100), 1, 0),
    ],
)
def test_an_open_breaker_lets_nothing_through_and_a_half_open_one_a_single_request(
    breaker: Breaker, unfinished: int, capacity: int
):
    assert decide_capacity(breaker, 10, unfinished, now=100) == capacity


async def test_a_breaker_opens_is_listed_and_closes_with_the_trial_that_succeeds(server: Work):
    down = True

    def answer(_: Any) -> Any:
        return web.Response(status=503) if down else completed()

    async with an_endpoint(answer) as endpoint:
        await server.a_function(endpoint_url=endpoint.url, retry={"maxAttempts": 1})
        for _ in range(5):
            await until(server, (await server.emit()).run_ids[0], "failed")
        (run_id,) = (await server.emit()).run_ids

        (listed,) = (await server.call(endpoints.list_)).circuit_breakers
        assert (listed.endpoint, listed.functions, listed.state, listed.failures) == (
            endpoint.url, ["charge"], "open", 5,
        )  # fmt: skip
        assert listed.error == "PUSH_REFUSED: The endpoint answered 503."
        assert (await server.call(controls.why, id=run_id)).reason == "breaker_open"
        assert len(endpoint.requests) == 5

        down = False
        server.move(60_000)
        await server.loop("endpoints")
        await until(server, run_id, "completed")
        await until(server, (await server.emit()).run_ids[0], "completed")

        (listed,) = (await server.call(endpoints.list_)).circuit_breakers
        assert (listed.state, listed.failures, listed.error) == ("closed", 0, None)


@pytest.mark.parametrize("by", ["url", "function"])
async def test_a_reset_breaker_lets_its_runs_go_at_once(server: Work, by: str):
    down = True

    def answer(_: Any) -> Any:
        return web.Response(status=500) if down else completed()

    async with an_endpoint(answer) as endpoint:
        breaker = {"failureThreshold": 1, "openDurationMs": 3_600_000}
        await server.a_function(endpoint_url=endpoint.url, retry={"maxAttempts": 1}, circuitBreaker=breaker)
        await until(server, (await server.emit()).run_ids[0], "failed")
        (run_id,) = (await server.emit()).run_ids
        down = False

        await server.call(endpoints.reset, endpoint=endpoint.url if by == "url" else "charge")

        await until(server, run_id, "completed")


async def test_a_breaker_is_seen_in_metrics_and_system_events(server: Work):
    down = True

    def answer(_: Any) -> Any:
        return web.Response(status=503) if down else completed()

    async def metrics() -> set[str]:
        async with server.http() as client:
            return set((await client.get("/metrics")).text.splitlines())

    async with an_endpoint(answer) as endpoint, following(server, "system.endpoint.>") as system:
        breaker = {"failureThreshold": 2}
        await server.a_function(endpoint_url=endpoint.url, retry={"maxAttempts": 1}, circuitBreaker=breaker)
        for _ in range(2):
            await until(server, (await server.emit()).run_ids[0], "failed")
        (listed,) = (await server.call(endpoints.list_)).circuit_breakers
        assert listed.until is not None
        assert {"ironflow_circuit_breakers_open 1.0", 'ironflow_push_executions_total{outcome="PUSH_REFUSED"} 2.0'} <= (
            await metrics()
        )

        down = False
        server.move(60_000)
        (run_id,) = (await server.emit()).run_ids
        await server.loop("endpoints")
        await until(server, run_id, "completed")
        await eventually(lambda: not server.part(Push).in_flight())
        assert {"ironflow_circuit_breakers_open 0.0", 'ironflow_push_executions_total{outcome="completed"} 1.0'} <= (
            await metrics()
        )

        opened, closed = await system.next(2)
    assert [opened.topic, closed.topic] == [f"system.endpoint.{listed.id}.{verb}" for verb in ("opened", "closed")]
    error = "PUSH_REFUSED: The endpoint answered 503."
    about = {"id": listed.id, "endpoint": endpoint.url, "failures": 2, "error": error}
    assert read_json(opened.data) == {**about, "until": text_of(to_millis(listed.until))}
    assert read_json(closed.data) == about


def test_events_of_endpoints_need_the_scope_of_functions():
    for pattern in ("system.endpoint.>", "system.endpoint.*.opened", "system.*.x.opened", "system.>"):
        assert "functions:read" in scopes_shown(pattern_of(pattern))


async def test_two_nodes_share_the_breaker_of_an_endpoint(postgres_url: str):
    async with (
        an_endpoint(lambda _: web.Response(status=503)) as endpoint,
        open_server(Work, postgres_url) as one,
        open_server(Work, postgres_url) as other,
    ):
        breaker = {"failureThreshold": 2}
        await one.a_function(endpoint_url=endpoint.url, retry={"maxAttempts": 1}, circuitBreaker=breaker)
        # It learns of the function.
        await other.loop("endpoints")
        # An execution is made by the node that has the event.
        for node in (one, other):
            await until(node, (await node.emit()).run_ids[0], "failed")
        for node in (one, other):
            (run_id,) = (await node.emit()).run_ids
            assert (await node.call(controls.why, id=run_id)).reason == "breaker_open"
    assert len(endpoint.requests) == 2


async def test_only_endpoints_of_push_functions_are_reset(server: Work):
    with pytest.raises(endpoints.EndpointNotFound):
        await server.call(endpoints.reset, endpoint="http://nowhere.example")

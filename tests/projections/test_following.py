"""`client.projections.subscribe`: states as they change, over restarts of the server."""

import asyncio
from contextlib import aclosing, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ironflow import Client, sync
from ironflow.base.errors import IronflowError
from ironflow.features.projections.contract import ProjectionNotFound
from ironflow.projection import ProjectionRunner, projection
from ironflow.sdk.client.connection.received import SubscriptionEvent
from ironflow.sdk.client.features.projections import _is_known
from tests.crash.processes import reserved_port
from tests.sdk.client.test_subscription import a_mortal_server

WITHIN_S = 120


@projection("follow.totals", events=["order.*"], initial_state={"count": 0})
def totals(state: Any, event: Any) -> Any:
    return {"count": state["count"] + 1}


@projection("follow.shops", events=["order.*"], initial_state={"count": 0}, partition_key="data.shop")
def shops(state: Any, event: Any) -> Any:
    return {"count": state["count"] + 1}


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


@pytest.mark.parametrize(
    ("newest", "known"),
    [
        (("", None), False),
        (("evt_1", at(5)), True),
        (("evt_2", at(5)), False),
        (("evt_2", at(6)), True),
        (("evt_1", at(4)), False),
    ],
)
def test_states_from_before_the_state_that_was_asked_for_are_left_out(newest: Any, known: bool):
    update = SubscriptionEvent(
        id="n", topic="t", name="t", data={"last_event_id": "evt_1"}, timestamp=at(5), sequence=1
    )
    assert _is_known(update, newest) is known


@pytest.mark.processes
async def test_states_are_followed_over_a_restart(tmp_path: Path):
    held, port = reserved_port()
    url = f"http://127.0.0.1:{port}"
    faults: list[IronflowError] = []
    with held:
        async with Client(url) as client, asyncio.timeout(WITHIN_S):
            with a_mortal_server(tmp_path, port):
                async with ProjectionRunner(totals, url=url):
                    first = await client.emit("order.placed", {})
                    await client.projections.wait_for_event("follow.totals", first.event_id)
                    states = client.projections.subscribe("follow.totals", on_error=faults.append)
                    initial = await anext(states)
                    second = await client.emit("order.paid", {})
                    update = await anext(states)
            # It has changed while nothing was connected.
            with a_mortal_server(tmp_path, port):
                async with Client(url) as other, ProjectionRunner(totals, url=url):
                    third = await other.emit("order.sent", {})
                    await other.projections.wait_for_event("follow.totals", third.event_id)
                    found = await anext(states)
                    await states.aclose()

    assert (initial.state, initial.event_id, initial.event_name) == ({"count": 1}, first.event_id, "order.placed")
    assert (update.state, update.event_id, update.event_name) == ({"count": 2}, second.event_id, "order.paid")
    assert (found.state, found.event_id, found.event_name) == ({"count": 3}, third.event_id, "order.sent")
    assert (found.name, found.partition) == ("follow.totals", "__global__")
    assert faults


@pytest.mark.processes
async def test_one_partition_is_followed_and_the_first_state_can_be_left_out(tmp_path: Path):
    held, port = reserved_port()
    url = f"http://127.0.0.1:{port}"
    with held, a_mortal_server(tmp_path, port):
        async with Client(url) as client, ProjectionRunner(shops, url=url), asyncio.timeout(WITHIN_S):
            await client.projections.register(shops)
            before = await client.emit("order.placed", {"shop": "a.b"})
            await client.projections.wait_for_event("follow.shops", before.event_id)
            connected = asyncio.Event()
            client.on_connection_change(lambda state: connected.set() if state == "connected" else None)
            for transport in ("websocket", "grpc"):
                connected.clear()
                async with aclosing(
                    client.projections.subscribe(
                        "follow.shops",
                        partition="a.b",
                        initial=False,
                        transport=transport,  # type: ignore[arg-type]
                    )
                ) as states:
                    waiting = asyncio.ensure_future(anext(states))
                    await connected.wait()
                    count = (await client.projections.get("follow.shops", partition="a.b")).state["count"]
                    while not waiting.done():
                        await client.emit("order.placed", {"shop": "other"})
                        await client.emit("order.placed", {"shop": "a.b"})
                        await asyncio.wait((waiting,), timeout=1)
                    update = await waiting
                assert update.partition == "a.b"
                assert update.state["count"] > count
            with pytest.raises(ProjectionNotFound):
                await anext(client.projections.subscribe("no-such"))


@pytest.mark.processes
def test_scripts_follow_states(tmp_path: Path):
    held, port = reserved_port()
    url = f"http://127.0.0.1:{port}"

    async def work() -> None:
        async with ProjectionRunner(totals, url=url), Client(url) as client:
            emitted = await client.emit("order.placed", {})
            await client.projections.wait_for_event("follow.totals", emitted.event_id, timeout="60s")

    with held, a_mortal_server(tmp_path, port):
        asyncio.run(work())
        with sync.Client(url) as client, closing(client.projections.subscribe("follow.totals")) as states:
            found = next(states)

    assert (found.state, found.event_name) == ({"count": 1}, "order.placed")

"""When subscriptions connect again, and what their users see of it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ironflow import Client, Reconnect, sync
from ironflow.base.errors import ConnectionLost, InvalidArgument, IronflowError, NotFound, Unavailable
from ironflow.base.pattern import InvalidPattern
from ironflow.sdk.client.connection import subscription
from ironflow.sdk.client.connection.following import Begun, Follower
from ironflow.sdk.client.connection.received import SubscriptionEvent
from ironflow.sdk.client.connection.request import SubscriptionRequest
from ironflow.sdk.client.connection.status import Observers, Status
from ironflow.sdk.wire.reconnect import decide_reconnect
from ironflow.sdk.wire.retries import Retries
from ironflow.sdk.wire.transport import CannotConnect
from tests.crash.processes import reserved_port
from tests.sdk.client.fake_transport import FakeAsyncTransport, FakeSyncTransport, answer
from tests.sdk.client.test_subscription import a_mortal_server

WITHIN_S = 30
SOON = Reconnect(delay=0.001, max_delay=0.002)


@pytest.mark.parametrize(
    ("failures", "pause_s"),
    [(1, 1.0), (2, 1.5), (3, 2.25), (9, 25.62890625), (10, 30.0), (1_000_000, 30.0)],
)
def test_pauses_grow_as_documented(failures: int, pause_s: float):
    assert decide_reconnect(CannotConnect(), failures, Reconnect()) == pause_s


@pytest.mark.parametrize(
    ("reconnect", "fault", "failures", "pause_s"),
    [
        (Reconnect(max_attempts=2), CannotConnect(), 2, 1.5),
        (Reconnect(max_attempts=2), CannotConnect(), 3, None),
        (Reconnect(enabled=False), CannotConnect(), 1, None),
        (Reconnect(), InvalidPattern(), 1, None),
        (Reconnect(), Unavailable(retry_after_s=7), 1, 7),
        (Reconnect(delay="250ms", factor=4, max_delay=2), CannotConnect(), 3, 2),
        (Reconnect.of(Retries()), CannotConnect(), 3, 0.4),
    ],
)
def test_the_settings_decide(reconnect: Reconnect, fault: IronflowError, failures: int, pause_s: float | None):
    assert decide_reconnect(fault, failures, reconnect) == pause_s


@pytest.mark.parametrize(
    "settings",
    [{"factor": 0.5}, {"max_attempts": 0}, {"delay": "1m"}, {"delay": "soon"}, {"connect_timeout": 0}],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any]):
    with pytest.raises(InvalidArgument):
        Reconnect(**settings)


def an_event(sequence: int) -> SubscriptionEvent:
    return SubscriptionEvent(id=f"evt_{sequence}", topic="t", name="t", data=None, timestamp=None, sequence=sequence)


class Script:
    """A link whose connections do what is written: an exception ends one, `None` waits for ever."""

    def __init__(self, *connections: list[Any]) -> None:
        self._connections = list(connections)
        self.requests: list[SubscriptionRequest] = []

    async def open(self, request: SubscriptionRequest) -> AsyncGenerator[Any, None]:
        self.requests.append(request)
        for each in self._connections.pop(0):
            if each is None:
                await asyncio.Event().wait()
            elif isinstance(each, tuple):
                raise each[0]
            yield each


def following(
    script: Script, reconnect: Reconnect = SOON, on_error: Any = None, **request: Any
) -> tuple[Follower, Status, list[Any]]:
    observers = Observers()
    seen: list[Any] = []
    observers.add_on_change(seen.append)
    observers.add_on_fault(seen.append)
    status = Status("t", observers)
    return Follower(script, SubscriptionRequest("t", **request), status, reconnect, on_error), status, seen


async def test_a_subscription_shows_whether_it_is_connected():
    lost = ConnectionLost("broke")
    script = Script([Begun(4), an_event(5), (lost,)], [(lost,)], [Begun(5), an_event(6), None])
    follower, status, seen = following(script)
    assert status.state == "disconnected"

    async with aclosing(follower.follow()) as events:
        assert [(await anext(events)).sequence for _ in range(2)] == [5, 6]
        assert status.state == "connected"

    assert seen == ["connecting", "connected", "reconnecting", lost, lost, "connected", "disconnected"]
    assert [(each.after, each.replay) for each in script.requests] == [(None, 0), (5, 0), (5, 0)]


async def test_after_the_last_attempt_the_failure_is_raised():
    lost = ConnectionLost("broke")
    script = Script([Begun(1), (lost,)], [(lost,)], [Begun(1), (lost,)], [(lost,)], [(lost,)])
    follower, status, seen = following(script, Reconnect(delay=0, max_delay=0, max_attempts=2))

    with pytest.raises(ConnectionLost, match="broke"):
        await anext(follower.follow())

    # A connection that opens ends the row of failures.
    assert len(script.requests) == 5
    assert seen.count(lost) == 5
    assert (status.state, seen[-1]) == ("disconnected", "disconnected")


async def test_without_reconnect_the_first_failure_is_raised():
    follower, _, seen = following(Script([Begun(1), an_event(2), (ConnectionLost(),)]), Reconnect(enabled=False))
    events = follower.follow()
    assert (await anext(events)).sequence == 2
    with pytest.raises(ConnectionLost):
        await anext(events)
    assert "reconnecting" not in seen


async def test_a_first_connection_that_fails_is_raised():
    follower, _, _ = following(Script([(CannotConnect(),)]))
    with pytest.raises(CannotConnect):
        await anext(follower.follow())


async def test_a_callback_that_fails_does_not_end_what_it_is_called_for(capsys: pytest.CaptureFixture[str]):
    def fail(fault: IronflowError) -> None:
        raise RuntimeError(f"mine of {fault.message}")

    script = Script([Begun(4), (ConnectionLost("broke"),)], [Begun(4), ConnectionLost("kept"), an_event(5), None])
    follower, _, _ = following(script, on_error=fail)
    async with aclosing(follower.follow()) as events:
        assert (await anext(events)).sequence == 5

    written = capsys.readouterr().err
    assert ("RuntimeError: mine of broke" in written, "RuntimeError: mine of kept" in written) == (True, True)


async def test_a_watch_goes_on_when_its_callback_fails(capsys: pytest.CaptureFixture[str]):
    async def fail(fault: IronflowError) -> None:
        raise RuntimeError("mine")

    transport = FakeAsyncTransport().gives(ConnectionLost("broke"), answer({"code": "NOT_FOUND"}, 404))
    client = Client("http://server", transport=transport, reconnect=SOON)
    with pytest.raises(IronflowError):
        await anext(client.config.watch("c", on_error=fail))
    assert (len(transport.sent), "RuntimeError: mine" in capsys.readouterr().err) == (2, True)


class _Answers:
    """The operations that a follower of states asks for: failures first, then the answer."""

    def __init__(self, *answers: Any) -> None:
        self.left = list(answers)

    async def __call__(self, operation: Any, request: Any, **_: Any) -> Any:
        found = self.left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


async def test_the_state_after_a_reconnect_is_asked_for_until_the_server_is_back(monkeypatch: pytest.MonkeyPatch):
    script = Script([Begun(1), (ConnectionLost("broke"),)], [Begun(1), None])
    monkeypatch.setattr(subscription, "_link", lambda *_: script)
    row = SimpleNamespace(state=b'{"n":1}', last_event_id="evt_1", updated_at=None)
    client = Client("http://server", transport=FakeAsyncTransport(), reconnect=SOON)
    known, none = SimpleNamespace(state=row), SimpleNamespace(state=None)
    away, starting, broke = CannotConnect("away"), Unavailable("starts"), ConnectionLost("broke")
    answers = _Answers(none, away, starting, known, broke, NotFound("none"))
    monkeypatch.setattr(client._calls, "call", answers)
    faults: list[IronflowError] = []

    async with aclosing(client.projections.subscribe("totals", on_error=faults.append)) as states:
        update = await anext(states)

    assert (update.state, update.event_id, update.event_name) == ({"n": 1}, "evt_1", "")
    assert [each.message for each in faults] == ["broke", "away", "starts", "broke"]


async def test_a_deleted_projection_ends_the_following_of_its_state(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subscription, "_link", lambda *_: Script([Begun(1), None]))
    client = Client("http://server", transport=FakeAsyncTransport(), reconnect=SOON)
    monkeypatch.setattr(client._calls, "call", _Answers(NotFound("deleted")))
    with pytest.raises(NotFound, match="deleted"):
        await anext(client.projections.subscribe("totals"))


def test_what_observes_can_be_removed_and_may_fail(capsys: pytest.CaptureFixture[str]):
    observers = Observers()
    seen: list[str] = []

    def fail(state: str) -> None:
        raise RuntimeError("mine")

    remove_first, _ = observers.add_on_change(seen.append), observers.add_on_change(seen.append)
    observers.add_on_change(fail)
    observers.changed("connected")
    remove_first()
    remove_first()
    observers.changed("disconnected")

    assert seen == ["connected", "connected", "disconnected"]
    assert capsys.readouterr().err.count("RuntimeError: mine") == 2


async def test_a_watch_ends_after_its_last_attempt():
    network = FakeAsyncTransport(deque([CannotConnect()]))
    async with Client("http://x", transport=network, reconnect=Reconnect(delay=0, max_attempts=3)) as client:
        with pytest.raises(CannotConnect):
            await anext(client.config.watch("c"))
        assert len(network.sent) == 4
        with pytest.raises(CannotConnect):
            await anext(client.config.watch("c", reconnect=Reconnect(enabled=False)))

    assert len(network.sent) == 5
    assert network.sent[0].timeout == 10.0


async def test_a_member_ends_after_its_last_attempt():
    network = FakeAsyncTransport(deque([answer({"code": "unavailable"}, status=503)]))
    states: list[str] = []
    async with Client("http://x", transport=network, reconnect=Reconnect(delay=0, max_attempts=2)) as client:
        client.on_connection_change(states.append)
        events = client.consumer_groups.join("g")
        with pytest.raises(Unavailable):
            await anext(events)

    assert len(network.sent) == 3
    assert states == ["connecting", "reconnecting", "disconnected"]
    assert (events.state, events.is_connected) == ("disconnected", False)


@pytest.mark.processes
async def test_a_client_sees_the_states_of_its_subscriptions_over_a_restart(tmp_path: Path):
    held, port = reserved_port()
    states: list[str] = []
    faults: list[IronflowError] = []
    own: list[str] = []
    with held:
        async with Client(f"http://127.0.0.1:{port}", reconnect=Reconnect(delay="100ms")) as client:
            remove = client.on_connection_change(states.append)
            client.on_subscription_error(faults.append)
            async with asyncio.timeout(4 * WITHIN_S):
                events = client.subscribe("topic:seen", after=0)
                events.on_connection_change(own.append)
                assert (events.state, events.pattern, events.last_event) == ("disconnected", "topic:seen", None)
                first_id = events.id
                with a_mortal_server(tmp_path, port):
                    await client.publish("seen", 1)
                    first = await anext(events)
                    assert events.is_connected
                    assert events.last_event == first
                with a_mortal_server(tmp_path, port):
                    # By connections of its own: those of the client may be of the server before.
                    async with Client(f"http://127.0.0.1:{port}") as other:
                        await other.publish("seen", 2)
                    assert (await anext(events)).data == 2
                remove()
                await events.close()

    assert states == ["connecting", "connected", "reconnecting", "connected"]
    assert own == [*states, "disconnected"]
    assert faults
    assert (events.state, events.id) == ("disconnected", first_id)


@pytest.mark.processes
def test_scripts_see_the_states_too(tmp_path: Path):
    held, port = reserved_port()
    states: list[str] = []
    with held, a_mortal_server(tmp_path, port), sync.Client(f"http://127.0.0.1:{port}") as client:
        client.on_connection_change(states.append)
        client.publish("seen", 1)
        with client.subscribe("topic:seen", after=0) as events:
            event = next(events)
            assert (events.is_connected, events.last_event, events.pattern) == (True, event, "topic:seen")
            assert event.ack() is False

    assert states == ["connecting", "connected", "disconnected"]
    assert events.state == "disconnected"


def test_a_watch_has_the_same_settings_in_scripts():
    network = FakeSyncTransport(deque([CannotConnect()]))
    with (
        sync.Client("http://x", transport=network, reconnect=Reconnect(delay=0, max_attempts=1)) as client,
        pytest.raises(CannotConnect),
    ):
        next(iter(client.config.watch("c")))

    assert len(network.sent) == 2

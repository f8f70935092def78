"""A subscription of the blocking client that is closed while its loop waits."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ironflow.sync import Client
from tests.wire.server_process import a_server

pytestmark = pytest.mark.processes

WITHIN_S = 60


def ended(events: Any) -> Callable[[], list[Any]]:
    """Iterates in a thread. What is returned waits for the end of the loop, and gives what it ended with."""
    found: list[Any] = []

    def read() -> None:
        try:
            found.extend(events)
            found.append("ended")
        except BaseException as error:  # noqa: BLE001 - shown by the test
            found.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()

    def wait() -> list[Any]:
        thread.join(WITHIN_S)
        return found

    return wait


def test_another_thread_ends_the_loop(tmp_path: Path):
    connected = threading.Event()
    with a_server(tmp_path) as server, Client(server.address) as client:
        events = client.subscribe("a.*")
        events.on_connection_change(lambda state: connected.set() if state == "connected" else None)
        wait = ended(events)
        assert connected.wait(WITHIN_S)
        events.close()
        assert wait() == ["ended"]


def test_a_callback_ends_the_loop(tmp_path: Path):
    with a_server(tmp_path) as server, Client(server.address) as client:
        events = client.subscribe("a.*")
        events.on_connection_change(lambda state: events.close() if state == "connected" else None)
        assert ended(events)() == ["ended"]


def test_an_event_is_settled_in_a_callback(tmp_path: Path):
    """The callback runs in the thread whose loop sends the ack."""
    settled: list[Any] = []
    done = threading.Event()
    with a_server(tmp_path) as server, Client(server.address) as client:
        client.consumer_groups.create("g", "went", ack="manual")
        for number in range(2):
            client.emit("went", number)
        with client.consumer_groups.join("g") as events:
            held = [next(events), next(events)]

            def settle(state: str) -> None:
                settled.append(held[0].ack())
                try:
                    next(events)
                except RuntimeError as error:
                    settled.append(str(error))
                done.set()

            events.on_connection_change(settle)
            loop: Any = events._thread._loop
            loop.call_soon_threadsafe(events._status.move, "reconnecting")
            assert done.wait(WITHIN_S)
            assert held[1].ack()
        assert settled[0] is True
        assert "callback" in settled[1]

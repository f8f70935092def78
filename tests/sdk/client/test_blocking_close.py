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

"""A server keeps running when clients take more connections than it has file descriptors."""

import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ironflow.server import descriptors
from ironflow.server.descriptors import WatchDescriptors, connections_of, descriptors_max, raise_limit
from tests.support.waiting import eventually
from tests.wire.server_process import Server, a_server

LIMIT = 96
PROGRAM = "tests.server.few_descriptors"


@contextlib.contextmanager
def silent_connections(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Connections that send nothing."""
    with contextlib.ExitStack() as held:
        yield [held.enter_context(socket.create_connection(server.host_and_port, timeout=20)) for _ in range(count)]


def ready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.address}/ready", timeout=20).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.processes
def test_more_silent_connections_than_descriptors_wait_and_leave_and_the_server_keeps_running(tmp_path: Path):
    with (
        a_server(tmp_path, program=PROGRAM, descriptors=str(LIMIT), request_head_ms="1000") as server,
        silent_connections(server, LIMIT + 100),
    ):
        # They send nothing for half of `request_head_ms`; then it is the turn of those behind them.
        eventually(lambda: ready(server))
        assert server.alive


@pytest.mark.processes
def test_a_server_whose_descriptors_run_out_all_the_same_accepts_again(tmp_path: Path):
    settings = {"descriptors": str(LIMIT), "connections_max": str(2 * LIMIT), "request_head_ms": "1000"}
    with a_server(tmp_path, program=PROGRAM, **settings) as server:
        with silent_connections(server, LIMIT + 100):
            eventually(lambda: "out of descriptors" in server.log)
        eventually(lambda: ready(server))
        assert server.alive
        assert "Traceback" not in server.log


@pytest.mark.processes
def test_half_a_request_is_given_up(tmp_path: Path):
    with a_server(tmp_path, request_head_ms="400", connection_idle_ms="400") as server:
        with socket.create_connection(server.host_and_port, timeout=20) as half:
            half.sendall(b"GET /ready HTTP/1.1\r\nhost: ")
            # A refusal, perhaps, and then the end.
            while half.recv(1000):
                pass
        with socket.create_connection(server.host_and_port, timeout=20) as idle:
            idle.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            while idle.recv(1000):
                pass


def test_the_soft_limit_is_raised_to_the_hard_one():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] == resource.RLIM_INFINITY or before[1] > 1_000_000:
        pytest.skip("there is no hard limit")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 512), before[1]))
        raise_limit()
        assert descriptors_max() == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(("descriptors", "connections"), [(1024, 768), (192, 144), (96, 48), (20, 1)])
def test_a_quarter_of_the_descriptors_and_48_at_the_least_are_for_other_uses_than_connections(
    descriptors: int, connections: int
):
    assert connections_of(descriptors) == connections


async def test_connections_that_take_all_they_may_are_a_warning_and_one_line_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    watch = WatchDescriptors(connections_max=768, at_start=20)
    open_now = 787
    monkeypatch.setattr(descriptors, "descriptors_open", lambda: open_now)
    await watch.run_once(0)
    assert watch.warning is None
    open_now = 788
    for now in (5_000, 10_000, 64_000, 65_000):
        await watch.run_once(now)
    assert "768" in str(watch.warning)
    assert [record.message for record in caplog.records] == ["connections wait"] * 2
    open_now = 30
    await watch.run_once(70_000)
    assert watch.warning is None

"""A server process: it says where it serves, stops when asked to, and explains why it cannot start."""

import contextlib
import socket
from pathlib import Path

import httpx
import pytest

from ironflow.base.settings import Settings
from ironflow.server.http_servers import CannotListen, bound_socket
from tests.crash.processes import Process
from tests.support.waiting import eventually
from tests.wire.server_process import a_server


@pytest.mark.processes
@pytest.mark.parametrize("http_server", ["h2corn", "granian"])
def test_a_server_that_is_asked_to_stop_ends_its_held_polls_and_itself(tmp_path: Path, http_server: str):
    with (
        contextlib.ExitStack() as held,
        a_server(tmp_path, http_server=http_server) as server,
        httpx.Client(base_url=server.address) as client,
    ):
        assert client.get("/ready").json()["status"] == "ready"
        client.post("/api/v1/workers/w/register", json={"function_ids": ["f"]})
        wire = held.enter_context(socket.create_connection(server.host_and_port))
        wire.sendall(b"GET /api/v1/workers/w/jobs?wait=25 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        eventually(lambda: "ironflow_polls_waiting 1.0" in client.get("/metrics").text)
    # Leaving the block asked it to stop and saw it end with 0, well within the poll's 25 seconds.


@pytest.mark.processes
def test_half_a_request_does_not_keep_a_server_from_stopping_in_time(tmp_path: Path):
    with a_server(tmp_path, shutdown_ms="1000") as server, socket.create_connection(server.host_and_port) as half:
        half.sendall(b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        with socket.create_connection(server.host_and_port) as begun:
            begun.sendall(b"GET /ready HT")
            assert server.stop(within_s=5) == 0


def test_a_server_stops_within_seven_seconds_by_default():
    assert Settings().shutdown_ms == 7_000


@pytest.mark.processes
def test_a_server_without_authentication_for_all_hosts_warns_at_its_start(tmp_path: Path):
    with a_server(tmp_path, host="0.0.0.0", dev="false", auth="false", insecure_no_auth="true") as server:
        assert "no authentication: every caller may do everything  host=0.0.0.0" in server.log


@pytest.mark.processes
def test_a_port_that_is_taken_is_a_clear_error(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = {"IRONFLOW_DB": str(tmp_path / "x.db"), "IRONFLOW_PORT": port, "IRONFLOW_DEV": "true"}
        process = Process("server", ["ironflow.server.run"], tmp_path, environment)
        eventually(lambda: process.exit_code is not None)
    assert process.exit_code != 0
    assert f"127.0.0.1:{port} cannot be used" in process.log.read_text()


def test_a_port_beyond_all_ports_and_an_address_of_another_machine_are_refused():
    for host, port in (("127.0.0.1", 70_000), ("203.0.113.1", 0)):
        with pytest.raises(CannotListen, match="cannot be used"):
            bound_socket(host, port)

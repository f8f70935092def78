"""The adapter in a process of its own: over standard input and output, and over TCP, against a real server."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pytest import raises

from ironflow.debugging.dap.protocol import BODY_BYTES_MAX, BadFrame, Frames, Rubbish, framed
from ironflow.sync import Client
from tests.cli.run.test_inspect import work
from tests.support.dev_server import a_dev_server
from tests.support.waiting import eventually

IRONFLOW = [sys.executable, "-m", "ironflow"]


# Frames ---------------------------------------------------------------------------------------------------------------


def test_messages_are_read_however_their_bytes_arrive():
    sent = [{"seq": 1, "type": "request"}, {"text": "ä" * 100}]
    data = b"".join(framed(each) for each in sent)

    frames = Frames()
    assert [each for n in range(len(data)) for each in frames.feed(data[n : n + 1])] == sent
    assert Frames().feed(data) == sent


def test_other_headers_are_ignored_and_rubbish_bodies_are_found():
    body = b"Content-Type: x\r\ncontent-LENGTH: 2\r\n\r\n{}Content-Length: 3\r\n\r\n{a}Content-Length: 2\r\n\r\n[]"
    first, second, third = Frames().feed(body)

    assert first == {}
    assert isinstance(second, Rubbish)
    assert third == Rubbish("a message is a JSON object")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"Content-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1),
        b"x" * 5000,
    ],
)
def test_a_header_without_a_length_ends_the_stream(data: bytes):
    with raises(BadFrame):
        Frames().feed(data)


# Processes ------------------------------------------------------------------------------------------------------------


class Wire:
    """A client of an adapter over any stream."""

    def __init__(self, read: Any, write: Any) -> None:
        self._read, self._write = read, write
        self._frames = Frames()
        self._waiting: list[Any] = []
        self._seq = 0

    def send(self, data: bytes) -> None:
        self._write(data)

    def request(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The response; events before it are skipped."""
        self._seq += 1
        self.send(framed({"seq": self._seq, "type": "request", "command": command, "arguments": arguments}))
        return self.until(lambda each: each["type"] == "response")

    def event(self, name: str) -> dict[str, Any]:
        return self.until(lambda each: each["type"] == "event" and each["event"] == name)["body"]

    def until(self, wanted: Any) -> dict[str, Any]:
        while True:
            while self._waiting:
                found = self._waiting.pop(0)
                if wanted(found):
                    return found
            data = self._read()
            assert data, "the adapter has closed the stream"
            self._waiting += self._frames.feed(data)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_dev_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(scope="module")
def run_id(server: str) -> str:
    with Client(server) as client:
        return work(client, "debugged", patch=True, recording=True)


@pytest.fixture
def tcp(server: str, run_id: str) -> Iterator[tuple[str, int]]:
    """The address of `inspect --dap`."""
    command = [*IRONFLOW, "inspect", run_id, "--dap", "--dap-port", "0", "--url", server]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        host, _, port = process.stdout.readline().decode().split()[-1].partition(":")
        try:
            yield host, int(port)
        finally:
            process.terminate()


def connected(address: tuple[str, int]) -> tuple[Wire, socket.socket]:
    peer = socket.create_connection(address, timeout=20)
    return Wire(lambda: peer.recv(65536), peer.sendall), peer


@pytest.mark.processes
def test_a_session_over_standard_input_and_output(server: str, run_id: str):
    command = [*IRONFLOW, "debug-adapter", "--url", server]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        reading = process.stdout
        wire = Wire(lambda: reading.read(65536), process.stdin.write)
        assert wire.request("initialize")["body"]["supportsStepBack"] is True
        wire.event("initialized")
        assert wire.request("launch", run=run_id)["success"]
        wire.request("configurationDone")
        assert wire.event("stopped")["reason"] == "entry"
        wire.request("setExceptionBreakpoints", filters=["any"])
        wire.request("continue", threadId=1)
        assert wire.event("stopped")["text"] == "card declined"
        assert wire.request("disconnect")["success"]
        assert process.wait(20) == 0


@pytest.mark.processes
def test_each_connection_is_a_session_of_its_own_and_rubbish_ends_only_its_own(tcp: tuple[str, int]):
    (first, one), (second, two) = connected(tcp), connected(tcp)
    with one, two:
        first.request("initialize")
        second.send(b"GET / HTTP/1.1\r\n\r\n")
        assert two.recv(1) == b""
        first.send(b"Content-Length: 5\r\n\r\n{nope")
        assert "unreadable" in first.event("output")["output"]
        assert first.request("attach")["success"]
        first.request("configurationDone")
        assert first.event("stopped")["reason"] == "entry"
        refused = first.request("nonsense")
        assert (refused["success"], refused["body"]["error"]["showUser"]) == (False, False)


@pytest.mark.processes
def test_a_run_goes_on_when_its_client_is_cut_off_in_the_middle_of_a_pause(server: str, tcp: tuple[str, int]):
    from ironflow.features.events import contract as events
    from ironflow.features.functions import contract as functions
    from ironflow.features.jobs import contract as jobs
    from tests.cli.run.test_inspect import ask

    with Client(server) as client:
        ask(client, functions.register, id="live", recording=True)
        ask(client, jobs.register, worker="live", function_ids=["live"])
        live = ask(client, events.invoke, function_id="live", data={}).run_id
        (job,) = ask(client, jobs.poll, worker="live", available=1, wait=5, acked=True).jobs
        wire, peer = connected(tcp)
        with peer:
            wire.request("initialize")
            wire.request("attach", run=live)
            wire.request("configurationDone")
            wire.request("pause", threadId=1)
            wire.event("stopped")
            assert client.runs.get(live).pause_requested
            # The rest of a message never comes.
            wire.send(b"Content-Length: 500\r\n\r\n{")
        eventually(lambda: not client.runs.get(live).pause_requested)
        fence = {"execution_seq": job.execution_seq, "lease_token": job.lease_token}
        ask(client, jobs.update, worker="live", job=job.job_id, status="completed", output=1, **fence)
        assert client.runs.get(live).status == "completed"


def test_a_port_that_is_taken_is_refused_in_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    from ironflow.cli.app import run_command

    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = run_command(["debug-adapter", "--port", str(taken.getsockname()[1]), "--json"])
    assert code == 2
    assert b"cannot listen" in msgspec.json.encode(capsys.readouterr().err)

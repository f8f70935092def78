"""A worker as a process: what signals do to it."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE

import pytest

from tests.sdk.worker.fake_server import FakeServer, until

pytestmark = pytest.mark.processes

PROGRAM = """
import asyncio, sys
from ironflow.worker import Worker, function

@function("waits")
async def waits(ctx, stop_file):
    import pathlib
    while not pathlib.Path(stop_file).exists():
        await asyncio.sleep(0.01)
    return "finished"

@function("hangs")
def hangs(ctx):
    import threading
    threading.Event().wait()

Worker([waits, hangs], url=sys.argv[1]).run()
"""


@pytest.fixture
async def process(server: FakeServer):
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, server.url, stdout=PIPE, stderr=PIPE)
    yield started
    if started.returncode is None:
        started.kill()
    await started.communicate()


async def test_the_first_signal_drains(server, process, tmp_path):
    stop_file = tmp_path / "stop"
    job = await server.give("waits", str(stop_file))
    await server.until(lambda: server.of("ack", job["job_id"]))
    process.send_signal(signal.SIGTERM)
    polls = len(server.of("poll"))
    stop_file.touch()

    assert (await server.final(job))["output"] == "finished"
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert len(server.of("poll")) <= polls + 1


async def test_the_second_signal_stops_at_once(server, process):
    """Also when a thread of the user's will never end."""
    job = await server.give("hangs")
    await server.until(lambda: server.of("ack", job["job_id"]))
    process.send_signal(signal.SIGINT)
    # The first one is known to have arrived when the held poll has ended; a signal sent twice at once is one signal.
    await until(lambda: server.polls_open == 0)
    process.send_signal(signal.SIGINT)

    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert server.updates(job) == []


async def test_a_refused_key_is_reported_and_ends_the_process(server):
    await server.script("register_function", (401, {"error": "this key is revoked", "code": "unauthenticated"}))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, server.url, stdout=PIPE, stderr=PIPE)
    _, stderr = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 1
    assert b"WorkerAuthError" in stderr
    assert b"this key is revoked" in stderr

"""The pytest plugin and the server process that it starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pytest import raises

import ironflow
from ironflow import function
from ironflow.base.errors import Unavailable
from ironflow.features.functions.contract import InvalidFunction
from ironflow.sync import Client
from ironflow.testing import ServerProcess
from ironflow.worker import Worker
from tests.support.waiting import eventually

pytest_plugins = ["pytester"]

SOURCES = str(Path(ironflow.__file__).parents[1])

A_TEST_FILE = """
    import pytest

    from ironflow import function


    @function("double", on="number.came")
    async def double(ctx, number: int):
        return number * 2


    def test_a_run(ironflow_server, ironflow_client):
        print("server", ironflow_server.url)
        with ironflow_server.worker([double]):
            assert ironflow_client.emit_sync("number.came", 21).output == 42


    def test_the_same_server(ironflow_server):
        print("server", ironflow_server.url)
"""


@function("double", on="number.came")
async def double(ctx, number: int):
    return number * 2


def alive(pid: int) -> bool:
    """Whether the process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.processes
def test_tests_share_a_server_that_is_stopped_after_them(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", SOURCES)
    pytester.makepyfile(A_TEST_FILE)

    # By its own name and not by its entry point, so that it does not matter whether the package is installed.
    ended = pytester.runpytest_subprocess("-p", "no:ironflow", "-p", "ironflow.testing.plugin", "-s", timeout=60)

    ended.assert_outcomes(passed=2)
    urls = {line.split()[-1] for line in ended.outlines if "server http" in line}
    assert len(urls) == 1
    with Client(urls.pop(), timeout="1s") as client, raises(ironflow.errors.ConnectionLost):
        client.health()


def test_the_package_offers_the_plugin_to_pytest():
    project = Path(SOURCES).parent / "pyproject.toml"

    assert '[project.entry-points.pytest11]\nironflow = "ironflow.testing.plugin"' in project.read_text()


def test_testing_needs_no_test_framework():
    loaded = (
        "import sys, ironflow.testing as testing; [getattr(testing, name) for name in testing.__all__]; "
        "print('pytest' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", loaded],
        env={**os.environ, "PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout == "False\n"


@pytest.mark.processes
def test_a_server_takes_nothing_from_the_environment_and_leaves_nothing_running(tmp_path, monkeypatch):
    monkeypatch.setenv("IRONFLOW_DATABASE_URL", str(tmp_path / "production.db"))
    monkeypatch.setenv("IRONFLOW_PORT", "1")
    server = ServerProcess(tmp_path)
    try:
        assert repr(server) == f"<ServerProcess {server.url}>"
        assert alive(server.pid)
        assert "serving" in server.log
    finally:
        server.stop()

    assert not alive(server.pid)
    assert not (tmp_path / "production.db").exists()
    server.stop()


@pytest.mark.processes
def test_a_server_ends_when_the_tests_are_killed(tmp_path):
    started = (
        "import pathlib, sys, threading; from ironflow.testing import ServerProcess; "
        "print(ServerProcess(pathlib.Path(sys.argv[1])).pid, flush=True); threading.Event().wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", started, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": SOURCES},
        stdout=subprocess.PIPE,
        text=True,
    ) as tests:
        assert tests.stdout is not None
        server = int(tests.stdout.readline())
        assert alive(server)
        tests.send_signal(signal.SIGKILL)

    eventually(lambda: not alive(server))


def test_a_server_that_cannot_start_raises_with_its_log(tmp_path):
    (tmp_path / "ironflow.db").write_text("dear diary " * 500)

    with raises(Unavailable, match=r"(?s)did not start.*ironflow\.db is not a SQLite database"):
        ServerProcess(tmp_path)


@pytest.fixture
def server(tmp_path):
    server = ServerProcess(tmp_path)
    yield server
    server.stop()


@pytest.mark.processes
async def test_an_async_test_uses_client_and_worker_as_a_program_does(server):
    async with Worker([double], url=server.url), server.client() as client:
        assert (await client.emit_sync("number.came", 4)).output == 8


@pytest.mark.processes
def test_a_worker_that_cannot_begin_fails_the_test(server):
    with raises(InvalidFunction, match="at least one function"), server.worker([]):
        raise AssertionError("it began")


@pytest.mark.processes
def test_a_failing_test_gets_its_own_error_out_of_the_worker(server):
    with raises(ZeroDivisionError), server.worker([double]):
        raise ZeroDivisionError

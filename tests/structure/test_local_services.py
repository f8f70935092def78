"""`make services`: servers on free ports, which tests find and which leave nothing behind."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import local_services, services
from tests.support.local_services import PACKAGES, address, program

ELSEWHERE = {"IRONFLOW_TEST_POSTGRES": "postgresql://elsewhere.test", "IRONFLOW_TEST_NATS": "nats://elsewhere.test:1"}


def run(verb: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `make services` or `make services-stop` for a folder, with programs that are all installed."""
    inherited = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    command = [sys.executable, "-m", "tests.support.local_services", verb, str(folder)]
    return subprocess.run(
        command, env=inherited | environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for services; those that run in it are stopped at the end."""
    found = tmp_path / ".services"
    yield found
    assert run("stop", found).returncode == 0


@pytest.mark.processes
@pytest.mark.skipif(not all(map(program, PACKAGES)), reason="`make services` has not installed its programs here")
def test_services_start_once_start_again_after_a_kill_and_leave_nothing(folder: Path):
    first = run("start", folder)
    again = run("start", folder)
    nats = address("nats", folder) or ""
    os.kill(int((folder / "nats" / "pid").read_text()), 9)
    after_a_kill = run("start", folder)
    postgres = address("postgres", folder) or ""

    assert first.stdout.splitlines() == [f"postgres: {postgres}", f"nats: {nats}"]
    assert again.stdout == first.stdout
    assert after_a_kill.stdout.splitlines() == [f"postgres: {postgres}", f"nats: {address('nats', folder)}"]
    assert services.postgres_fault(postgres) == ""
    assert local_services.nats_info(address("nats", folder) or "")["jetstream"] is True

    assert (run("stop", folder).returncode, folder.exists()) == (0, False)
    assert services.postgres_fault(postgres) != ""
    assert local_services.nats_info(nats) == {}


@pytest.mark.skipif(not all(map(program, PACKAGES)), reason="`make services` has not installed its programs here")
def test_a_server_that_an_environment_variable_names_is_not_started(folder: Path):
    started = run("start", folder, **ELSEWHERE)

    assert started.stdout.splitlines() == [
        "postgres: postgresql://elsewhere.test (IRONFLOW_TEST_POSTGRES)",
        "nats: nats://elsewhere.test:1 (IRONFLOW_TEST_NATS)",
    ]
    assert [*folder.iterdir()] == []


def test_stopping_what_was_never_started_is_no_error(folder: Path):
    stopped = run("stop", folder)
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "", "")


def test_a_port_that_is_given_is_free():
    with socket.create_server(("127.0.0.1", local_services.free_port())) as taken:
        assert taken.getsockname()[1] != local_services.free_port()


def test_a_missing_program_that_cannot_be_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def no_program(name: str) -> None:
        return None

    for variable in ELSEWHERE:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(local_services, "program", no_program)
    monkeypatch.setattr(local_services.shutil, "which", lambda _name: None)

    assert local_services.start(tmp_path / ".services") == 1
    assert "nats-server: missing, install the package nats-server" in capsys.readouterr().err.splitlines()


def test_a_missing_service_is_named_in_a_short_line(monkeypatch: pytest.MonkeyPatch):
    for variable in ELSEWHERE:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(services, "address", lambda _server: None)
    monkeypatch.setattr(services, "postgres_fault", lambda _server: "connection refused")
    monkeypatch.setattr(services, "nats_info", lambda _server: {})
    monkeypatch.setattr(services.shutil, "which", lambda _name: None)
    found = {name: find.__wrapped__() for name, find in services.SERVICES.items()}

    assert [service.missing for service in found.values()] == [
        "PostgreSQL is missing: `make services` provides it",
        "NATS is missing: `make services` provides it",
        "Chromium is missing: `make services` provides it",
        "Go is missing: install the package golang-go",
        "Node.js is missing: install the package nodejs",
        "Caddy is missing: install the package caddy",
    ]


def test_an_environment_variable_wins_over_what_make_services_started(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(services, "address", lambda server: f"{server}://started")
    monkeypatch.setattr(services, "postgres_fault", lambda _server: "")
    monkeypatch.setattr(services, "nats_info", lambda _server: {"jetstream": True})
    for variable in ELSEWHERE:
        monkeypatch.delenv(variable, raising=False)
    started = [services.find_postgres.__wrapped__(), services.find_nats.__wrapped__()]
    for variable, server in ELSEWHERE.items():
        monkeypatch.setenv(variable, server)
    named = [services.find_postgres.__wrapped__(), services.find_nats.__wrapped__()]

    assert [each.address for each in started] == ["postgres://started", "nats://started"]
    assert [each.address for each in named] == [*ELSEWHERE.values()]


def test_a_named_server_that_does_not_serve_is_reported_with_the_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IRONFLOW_TEST_POSTGRES", "postgresql://elsewhere.test")
    monkeypatch.setenv("IRONFLOW_TEST_NATS", "nats://elsewhere.test:1")
    monkeypatch.setattr(services, "postgres_fault", lambda _server: "password authentication failed")
    monkeypatch.setattr(services, "nats_info", lambda _server: {"jetstream": False})

    assert services.find_postgres.__wrapped__().fault == "IRONFLOW_TEST_POSTGRES: password authentication failed"
    assert services.find_nats.__wrapped__().fault == "nats://elsewhere.test:1 without JetStream; start it with -js"

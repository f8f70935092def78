"""`ironflow serve` as a process."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import msgspec
import pytest

from ironflow.base.errors import Unavailable
from ironflow.cli.process import Child, start_server

pytestmark = pytest.mark.processes


def serve(*arguments, **more):
    """Runs `ironflow serve` to its end; (exit code, standard error)."""
    ended = subprocess.run(
        [sys.executable, "-m", "ironflow", "serve", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        **more,
    )
    return ended.returncode, ended.stderr


def test_it_prints_its_address_to_standard_output_and_ends_on_sigterm_with_0(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "ironflow", "serve", "--dev", "--port", "0", "--db", str(tmp_path / "x.db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        text = process.stdout.readline()
        address = text.split()[-1]
        assert text.startswith("Ironflow ")
        with urllib.request.urlopen(f"{address}/health") as answer:
            assert msgspec.json.decode(answer.read())["status"] == "ok"

        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_port_in_use_ends_with_71(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        code, text = serve("--port", port, "--db", str(tmp_path / "x.db"))

    assert code == 71
    assert f"127.0.0.1:{port} cannot be used" in text
    assert "Traceback" not in text


def test_a_file_that_is_no_database_ends_with_65_and_stays_unchanged(tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary " * 500)

    code, text = serve("--port", "0", "--db", str(tmp_path / "notes.txt"))

    assert code == 65
    assert "Traceback" not in text
    assert (tmp_path / "notes.txt").read_text() == "dear diary " * 500


def test_a_database_that_another_server_has_open_ends_with_75(tmp_path):
    arguments = ["--dev", "--port", "0", "--db", str(tmp_path / "x.db")]
    server, _ = start_server(arguments, output=subprocess.DEVNULL)
    try:
        code, text = serve(*arguments)
    finally:
        server.stop()

    assert code == 75
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--dev", "--host", "0.0.0.0"], "loopback only"),
        (["--lease", "1ms"], "not above two heartbeats"),
        (["--lease", "60s"], "not above two heartbeats"),
        (["--lease", "soon"], "'soon' is not a duration"),
        (["--file", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["--http-server", "apache"], "apache"),
    ],
)
def test_invalid_settings_end_with_2_and_one_line(tmp_path, arguments, text):
    code, result = serve(*arguments, cwd=tmp_path)

    assert code == 2
    assert text in result
    assert result.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_settings_come_from_a_file_and_the_command_line_wins(tmp_path):
    (tmp_path / "server.yaml").write_text(
        f"apiVersion: ironflow/v1\nkind: Server\nspec:\n  port: 1\n  storage:\n    path: {tmp_path / 'from-file.db'}\n"
    )

    server, _ = start_server(["-f", str(tmp_path / "server.yaml"), "--port", "0"], output=subprocess.DEVNULL)
    server.stop()

    assert (tmp_path / "from-file.db").exists()


def test_a_server_that_fails_to_start_leaves_no_process(tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary " * 500)

    with pytest.raises(Unavailable, match="exit code 65"):
        start_server(["--port", "0", "--db", str(tmp_path / "notes.txt")], output=subprocess.DEVNULL)


def test_a_child_that_ignores_sigterm_is_killed(tmp_path):
    (tmp_path / "deaf.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
        "while True: time.sleep(60)\n"
    )
    child = Child(["worker", "deaf.py"], folder=tmp_path, output=subprocess.DEVNULL, announces=True)
    assert child.announced(20) == b"deaf\n"

    child.stop(grace_s=0.1)

    assert child.exit_code == -signal.SIGKILL


def test_published_options_and_variables_without_effect_are_named_once(tmp_path):
    log = tmp_path / "log"
    options = ["--nats-url", "nats://x:4222", "--nats-port", "4222", "--node-id", "n1", "--pprof"]
    with log.open("wb") as output:
        server = Child(
            ["serve", "--json", "--dev", "--port", "0", "--db", str(tmp_path / "x.db"), *options],
            environment={"NATS_URL": "nats://x:4222", "IRONFLOW_NONSENSE": "1"},
            output=output,
            announces=True,
        )
        try:
            address = msgspec.json.decode(server.announced(30))["address"]
            with urllib.request.urlopen(f"{address}/ready") as answer:
                assert answer.status == 200
        finally:
            server.stop()
    text = log.read_text()
    for name in ("NATS_URL", "IRONFLOW_NONSENSE", "--nats-url and --nats-port", "--pprof"):
        assert text.count(f"set, but without effect  setting={name} ") == 1


def test_metrics_that_are_off_are_not_found(tmp_path):
    server = Child(
        ["serve", "--json", "--dev", "--port", "0", "--db", str(tmp_path / "x.db")],
        environment={"IRONFLOW_METRICS_ENABLED": "false"},
        announces=True,
    )
    try:
        address = msgspec.json.decode(server.announced(30))["address"]
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(f"{address}/metrics")
        assert refusal.value.code == 404
        refusal.value.close()
    finally:
        server.stop()


def test_reset_deletes_the_state_of_a_development_server_after_naming_it(tmp_path):
    database = tmp_path / "x.db"
    server, _ = start_server(["--dev", "--port", "0", "--db", str(database)])
    inode = database.stat().st_ino
    try:
        code, text = serve("--dev", "--reset", "--port", "0", "--db", str(database))
        assert (code, "in use by another server" in text) == (75, True)
    finally:
        server.stop()
    assert serve("--reset", "--port", "0", "--db", str(database))[0] == 2
    assert database.stat().st_ino == inode

    log = tmp_path / "log"
    database.write_bytes(b"")
    with log.open("wb") as output:
        server, _ = start_server(["--dev", "--reset", "--port", "0", "--db", str(database)], output=output)
        server.stop()
    assert f"--reset deletes {database}" in log.read_text().replace("\n", "")
    assert database.read_bytes()[:15] == b"SQLite format 3"


def test_a_log_level_that_makes_no_sense_ends_the_start_with_2(tmp_path):
    code, text = serve("--dev", "--port", "0", "--db", str(tmp_path / "x.db"), env={**os.environ, "LOG_LEVEL": "trace"})
    assert (code, "log_level is 'trace'" in text) == (2, True)

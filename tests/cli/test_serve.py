"""`ironflow serve` as a process."""

import signal
import socket
import subprocess
import sys
import urllib.request

import msgspec
import pytest

from ironflow.base.errors import Unavailable
from ironflow.cli.process import Child, start_server

pytestmark = pytest.mark.processes


def serve(*words, **more):
    """Runs `ironflow serve` to its end; (exit code, standard error)."""
    ended = subprocess.run(
        [sys.executable, "-m", "ironflow", "serve", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        **more,
    )
    return ended.returncode, ended.stderr


def test_it_tells_its_address_on_standard_output_and_ends_on_sigterm_with_0(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "ironflow", "serve", "--dev", "--port", "0", "--db", str(tmp_path / "x.db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = said.split()[-1]
        assert said.startswith("Ironflow ")
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

        code, said = serve("--port", port, "--db", str(tmp_path / "x.db"))

    assert code == 71
    assert f"127.0.0.1:{port} cannot be used" in said
    assert "Traceback" not in said


def test_a_file_that_is_no_database_ends_with_65_and_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary " * 500)

    code, said = serve("--port", "0", "--db", str(tmp_path / "notes.txt"))

    assert code == 65
    assert "Traceback" not in said
    assert (tmp_path / "notes.txt").read_text() == "dear diary " * 500


def test_a_database_that_another_server_has_open_ends_with_75(tmp_path):
    words = ["--dev", "--port", "0", "--db", str(tmp_path / "x.db")]
    server, _ = start_server(words, output=subprocess.DEVNULL)
    try:
        code, said = serve(*words)
    finally:
        server.stop()

    assert code == 75
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dev", "--host", "0.0.0.0"], "loopback only"),
        (["--lease", "1ms"], "lease_ms"),
        (["--lease", "soon"], "'soon' is not a duration"),
        (["--file", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["--http-server", "apache"], "apache"),
    ],
)
def test_settings_that_cannot_be_end_with_2_and_one_line(tmp_path, words, said):
    code, heard = serve(*words, cwd=tmp_path)

    assert code == 2
    assert said in heard
    assert heard.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_settings_come_from_a_file_and_the_command_line_wins(tmp_path):
    (tmp_path / "server.yaml").write_text(
        f"apiVersion: ironflow/v1\nkind: Server\nspec:\n  port: 1\n  storage:\n    path: {tmp_path / 'from-file.db'}\n"
    )

    server, _ = start_server(["-f", str(tmp_path / "server.yaml"), "--port", "0"], output=subprocess.DEVNULL)
    server.stop()

    assert (tmp_path / "from-file.db").exists()


def test_starting_a_server_that_cannot_serve_leaves_nothing_running(tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary " * 500)

    with pytest.raises(Unavailable, match="exit code 65"):
        start_server(["--port", "0", "--db", str(tmp_path / "notes.txt")], output=subprocess.DEVNULL)


def test_a_child_that_does_not_listen_to_sigterm_is_ended_all_the_same(tmp_path):
    (tmp_path / "deaf.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
        "while True: time.sleep(60)\n"
    )
    child = Child(["worker", "deaf.py"], folder=tmp_path, output=subprocess.DEVNULL, announces=True)
    assert child.announced(20) == b"deaf\n"

    child.stop(grace_s=0.1)

    assert child.exit_code == -signal.SIGKILL

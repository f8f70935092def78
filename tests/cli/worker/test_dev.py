"""`ironflow dev` and `ironflow worker --reload`: a save restarts the worker."""

import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from ironflow.cli.exits import Exit
from ironflow.cli.process import Child
from ironflow.sync import Client
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes

APP = """
from ironflow import function

@function("reply", on="question.asked")
async def reply(ctx):
    return await ctx.step.run("compose", lambda: "ANSWER")
"""


@contextmanager
def running(folder, *arguments, **more):
    """`ironflow ARGUMENTS…` in `folder`, stopped at the end; yields the process and its output file."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ironflow", *arguments], cwd=folder, stdout=output, stderr=output, **more
        )
        try:
            yield process, log
        finally:
            process.terminate()
            process.wait(timeout=30)


def version(client):
    """The version of the function that the server knows; 0 for none. A changed handler is a new version."""
    return next((each.version for each in client.functions.list() if each.id == "reply"), 0)


def refused(address):
    """Whether no process listens at that address any more."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) != 0


def address_in(log):
    """The server's address in the output of `dev`; empty before that line."""
    return next((line.split()[-1] for line in log.read_text().splitlines() if line.startswith("  server ")), "")


def test_dev_serves_a_file_and_a_save_registers_the_new_code(tmp_path):
    (tmp_path / "app.py").write_text(APP.replace("ANSWER", "hello"))

    with running(tmp_path, "dev", "app.py", "--port", "0") as (process, log):
        eventually(lambda: address_in(log) != "")
        with Client(address_in(log)) as client:
            eventually(lambda: version(client) == 1)
            assert client.invoke_sync("reply", timeout="20s") == "hello"

            (tmp_path / "app.py").write_text("def broken(:\n")
            eventually(lambda: "waiting for a change" in log.read_text())
            assert "SyntaxError" in log.read_text()

            (tmp_path / "app.py").write_text(APP.replace("ANSWER", "good day"))
            eventually(lambda: version(client) == 2)
            assert log.read_text().count("app.py changed; restarting") == 2

        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0

    assert (tmp_path / "ironflow.db").exists()


def test_dev_fails_a_run_whose_step_is_never_awaited_and_names_step_and_line(tmp_path):
    (tmp_path / "app.py").write_text(APP.replace("return await ctx", "ctx"))

    with running(tmp_path, "dev", "app.py", "--port", "0") as (_, log):
        eventually(lambda: address_in(log) != "")
        with Client(address_in(log)) as client:
            eventually(lambda: version(client) == 1)
            client.emit("question.asked")
            eventually(lambda: "run failed" in log.read_text())
            # The worker logs it before the server has recorded it.
            eventually(lambda: [run.status for run in client.runs.list()] == ["failed"])
            (run,) = client.runs.list()

    assert run.error is not None
    assert "step 'compose' is called in" in run.error.message
    assert "app.py, line 6, and never awaited" in run.error.message


def test_an_event_emitted_right_after_a_save_runs_the_new_code(tmp_path):
    (tmp_path / "app.py").write_text(APP.replace("ANSWER", "hello"))

    with running(tmp_path, "dev", "app.py", "--port", "0") as (_, log):
        eventually(lambda: address_in(log) != "")
        with Client(address_in(log)) as client:
            eventually(lambda: version(client) == 1)
            (tmp_path / "app.py").write_text(APP.replace("ANSWER", "good day"))
            eventually(lambda: version(client) == 2)

            assert client.invoke_sync("reply", timeout="10s") == "good day"


def test_server_and_worker_end_when_dev_is_killed(tmp_path):
    (tmp_path / "app.py").write_text(APP)

    with running(tmp_path, "dev", "app.py", "--port", "0") as (process, log):
        eventually(lambda: address_in(log) != "")
        address = address_in(log)
        with Client(address) as client:
            eventually(lambda: version(client) == 1)

        process.kill()

        eventually(lambda: "draining" in log.read_text())
        eventually(lambda: refused(address))


def test_dev_on_a_database_in_use_prints_the_servers_reason_and_nothing_else(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "second").mkdir()
    database = str(tmp_path / "shared.db")
    with running(tmp_path, "dev", "app.py", "--port", "0", "--db", database) as (_, log):
        eventually(lambda: address_in(log) != "")
        with running(tmp_path / "second", "dev", "--port", "0", "--db", database) as (second, reason):
            code = second.wait(timeout=60)

    assert code == Exit.TRY_AGAIN
    assert reason.read_text() == (
        f"error: {database} is in use by another server. Stop that one, or give --db another path.\n"
    )


def test_dev_ends_when_its_server_ends(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "ironflow.db").write_text("dear diary " * 500)

    with running(tmp_path, "dev", "app.py", "--port", "0") as (process, log):
        assert process.wait(timeout=30) == Exit.NOT_A_DATABASE

    assert log.read_text() == "error: ironflow.db is not a SQLite database. Give --db another path.\n"


def test_a_worker_with_reload_registers_the_new_code(tmp_path, server):
    (tmp_path / "app.py").write_text(APP.replace("ANSWER", "hello"))

    with running(tmp_path, "--url", server, "worker", "app:reply", "--reload") as (_, log), Client(server) as client:
        eventually(lambda: version(client) == 1)

        (tmp_path / "app.py").write_text(APP.replace("ANSWER", "good day"))

        eventually(lambda: version(client) == 2)
        assert "app.py changed; restarting" in log.read_text()


def test_a_worker_on_a_stream_runs_jobs_and_is_listed_as_such(tmp_path, server):
    (tmp_path / "app.py").write_text(APP.replace("ANSWER", "streamed"))

    with (
        running(tmp_path, "--url", server, "worker", "app:reply", "--stream") as (process, log),
        Client(server) as client,
    ):
        eventually(lambda: version(client) >= 1)

        assert client.invoke_sync("reply", timeout="20s") == "streamed", log.read_text()
        assert "streaming" in [each.transport for each in client.workers.list()]

        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


def test_a_worker_whose_module_fails_shows_the_users_part_of_the_traceback(tmp_path):
    (tmp_path / "app.py").write_text("def price():\n    return 1 / 0\n\nprice()\n")
    log = tmp_path / "log"
    with log.open("wb") as output:
        child = Child(["worker", "app.py"], folder=tmp_path, output=output)
        assert child.wait(20) == 1

    text = log.read_text()
    assert text.startswith(f'Traceback (most recent call last):\n  File "{tmp_path / "app.py"}", line 4')
    assert text.endswith("ZeroDivisionError: division by zero\n")
    assert "ironflow/cli" not in text


BROKEN = """
from ironflow import Context, NonRetryableError, function

def charge():
    raise NonRetryableError("the card is blocked")

@function("reply", on="question.asked")
async def reply(ctx: Context):
    await ctx.step.run("charge", charge)

@function("unregistered", on="question.asked", when="((")
async def unregistered(ctx: Context):
    pass
"""


def test_dev_shows_runs_that_start_and_fail_and_functions_that_are_refused_and_ends_with_0(tmp_path):
    (tmp_path / "app.py").write_text(BROKEN)
    place = tmp_path / "app.py"

    with running(tmp_path, "dev", "app.py", "--port", "0") as (process, log):
        eventually(lambda: address_in(log) != "")
        with Client(address_in(log)) as client:
            eventually(lambda: version(client) == 1)
            run = client.invoke("reply").run_id
            eventually(lambda: "run failed" in log.read_text())

        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0

    text = log.read_text()
    assert f"run started  function_id=reply run_id={run} attempt=1/3" in text
    assert f"error=NonRetryableError: the card is blocked raised_at={place}:5" in text
    assert f"function not registered  function_id=unregistered defined_at={place}:11" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_with_reload_ends_with_0_after_a_signal(tmp_path, server, number):
    (tmp_path / "app.py").write_text(APP.replace("ANSWER", "hello").replace('"reply"', '"reloaded"'))

    with running(tmp_path, "--url", server, "worker", "app:reply", "--reload") as (process, log):
        eventually(lambda: "worker registered" in log.read_text())
        process.send_signal(number)
        assert process.wait(timeout=20) == 0

    assert "Traceback" not in log.read_text()

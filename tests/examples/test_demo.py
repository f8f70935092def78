"""`make demo`, with fewer orders."""

import signal
import subprocess
import sys

import pytest

from ironflow.cli.demo.scenario import QUICKSTART, read_calls, read_orders
from ironflow.cli.exits import UsageError
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes

DEMO = [sys.executable, "-m", "ironflow.cli.demo"]


def processes_of(folder):
    """Command lines of running processes that contain `folder`."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line and "ironflow" in line]


def test_it_ends_by_itself_with_the_right_numbers_and_leaves_nothing_running(tmp_path):
    ended = subprocess.run(
        [*DEMO, "--orders", "80", "--folder", str(tmp_path)], check=False, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "kill -9   pid" in ended.stderr
    numbers = [line.split()[:2] for line in ended.stdout.splitlines()]
    assert ["completed", "79"] in numbers
    assert ["failed", "1"] in numbers
    assert ["recorded", str(79 * 3 + 1)] in numbers
    assert "no recorded step was executed again" in ended.stdout
    assert f"ironflow serve --dev --db {tmp_path / 'demo.db'}" in ended.stdout
    assert "ironflow run get run_" in ended.stdout
    assert processes_of(tmp_path) == []
    assert len({call.worker for call in read_calls(tmp_path / "outside")}) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_half_way_it_leaves_nothing_running(tmp_path, number):
    command = [*DEMO, "--orders", "80", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as demo:
        try:
            eventually((tmp_path / "outside" / "calls.jsonl").exists, within_s=60)
            demo.send_signal(number)
            text, _ = demo.communicate(timeout=30)
        finally:
            demo.kill()

    assert demo.returncode == 128 + number
    assert b"Traceback" not in text
    assert processes_of(tmp_path) == []


def test_a_server_that_cannot_start_is_reported_with_its_log(tmp_path):
    (tmp_path / "demo.db").write_text("dear diary " * 500)

    ended = subprocess.run([*DEMO, "--folder", str(tmp_path)], check=False, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 65
    assert "the server ended with exit code 65" in ended.stderr
    assert "demo.db" in ended.stderr


def test_the_given_number_of_orders_is_read():
    orders = read_orders(QUICKSTART, 3)

    assert list(orders) == ["ord_20418", "ord_20419", "ord_20420"]


def test_a_folder_without_quickstart_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no quickstart"):
        read_orders(tmp_path, 3)

"""500 photos, twenty at a time."""

import pytest

from tests.examples.apps import worker_process


@pytest.mark.processes
def test_each_photo_is_a_step_and_at_most_twenty_run_at_a_time(ironflow_server, ironflow_client):
    with worker_process("fan-out", ironflow_client, ironflow_server.url):
        (run_id,) = ironflow_client.emit("album.uploaded", {"photos": 500}).run_ids
        run = ironflow_client.runs.wait(run_id)
        steps = ironflow_client.runs.steps(run_id)

    assert run.status == "completed"
    assert run.output == {
        "shrunk": 498,
        "broken": ["photo-0250.jpg", "photo-0500.jpg"],
        "bytes_saved": sum(100_000 + number for number in range(1, 501) if number % 250),
        "most_at_once": 20,
    }
    assert len({step.step_id for step in steps}) == 501
    assert sorted(step.output or 0 for step in steps if step.name == "shrink")[:3] == [0, 0, 100_001]

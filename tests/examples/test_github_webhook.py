"""The example of GitHub's webhooks, with a real server and worker: signed pushes start builds, each once."""

import subprocess
from pathlib import Path

import pytest

from ironflow.base.signature import SignatureError
from ironflow.base.time import SystemClock
from ironflow.base.webhook.presets import PRESETS, sign_headers
from ironflow.cli.process import Child, start_server
from ironflow.sync import Client
from tests.support.waiting import eventually

FOLDER = Path(__file__).parents[2] / "examples" / "github-webhook"
PUSH = (FOLDER / "push.json").read_bytes()


def signed(event: str, delivery: str, secret: str = "s3cret", body: bytes = PUSH) -> dict[str, str]:
    made = sign_headers(PRESETS["github"].descriptor, body, secret, SystemClock().now())
    return {**made, "X-GitHub-Event": event, "X-GitHub-Delivery": delivery}


@pytest.mark.processes
def test_pushes_build_once_and_what_is_not_github_builds_nothing(tmp_path: Path):
    server, url = start_server(["--dev", "--port", "0", "--db", str(tmp_path / "x.db")], output=subprocess.DEVNULL)
    worker = Child(
        ["worker", "app.py"], folder=FOLDER, output=subprocess.DEVNULL, environment={"IRONFLOW_SERVER_URL": url}
    )
    try:
        with Client(url) as client:
            eventually(lambda: any(each.id == "build" for each in client.functions.list()))
            source = client.webhooks.create("github", preset="github", secret="s3cret")
            token = source.ingest_token or ""

            first = client.webhooks.send(source.id, token, PUSH, signed("push", "d1"))
            again = client.webhooks.send(source.id, token, PUSH, signed("push", "d1"))
            branch = PUSH.replace(b"heads/main", b"heads/try")
            other = client.webhooks.send(source.id, token, branch, signed("push", "d2", body=branch))
            with pytest.raises(SignatureError):
                client.webhooks.send(source.id, token, PUSH, signed("push", "d3", secret="guess"))
            eventually(lambda: client.runs.get(first.run_ids[0]).status == "completed")
            run = client.runs.get(first.run_ids[0])
            kept = [(each.status, each.duplicate) for each in client.webhooks.deliveries()]
    finally:
        worker.stop()
        server.stop()

    assert run.output == {
        "commit": "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c",
        "artifact": "octo-hello-0d1a26e.tar.gz",
    }
    assert (again.event_id, again.run_ids, again.duplicate) == (first.event_id, first.run_ids, True)
    assert other.run_ids == []
    assert kept == [("rejected", False), ("accepted", False), ("accepted", True), ("accepted", False)]

"""Push mode with FastAPI: a real server calls a real application."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ironflow.sync import Client
from tests.push.processes import Process, free_port
from tests.support.waiting import eventually

EXAMPLE = Path(__file__).parents[2] / "examples" / "push-fastapi"


@pytest.mark.processes
def test_an_order_is_charged_and_shipped_or_refunded(tmp_path: Path):
    (tmp_path / "app.py").write_text((EXAMPLE / "app.py").read_text())
    ports = free_port(), free_port()
    url, endpoint = f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}/api/ironflow"
    environment = {**os.environ, "IRONFLOW_SERVER_URL": url}
    command = [sys.executable, "-m"]
    serving = [*command, "ironflow", "serve", "--dev", "--port", str(ports[0])]
    server = Process(serving, tmp_path, environment, ports[0])
    app = Process([*command, "uvicorn", "app:app", "--port", str(ports[1])], tmp_path, environment, ports[1])
    try:
        subprocess.run([*command, "ironflow", "register", endpoint], env=environment, check=True, timeout=60)
        with Client(url) as client:
            orders = {
                each: client.emit("order.placed", {"id": each, "total": 4250}).run_ids[0] for each in ("o1", "o2")
            }
            eventually(lambda: all(len(list(client.runs.steps(each))) == 2 for each in orders.values()))
            client.emit("order.picked", {"id": "o1", "ok": True})
            client.emit("order.picked", {"id": "o2", "ok": False})
            eventually(lambda: all(client.runs.get(each).status in ("completed", "failed") for each in orders.values()))

            assert client.runs.get(orders["o1"]).output == {"charge": "charge-o1", "parcel": "parcel-o1"}
            assert client.runs.get(orders["o2"]).status == "failed"
            names = [step.name for step in client.runs.steps(orders["o2"])]
            assert names == ["charge", "picked", "compensate:charge"]
    finally:
        app.stop()
        server.stop()

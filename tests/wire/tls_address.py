"""What an https address of a server has to do, its own or that of a proxy before it."""

from pathlib import Path

import httpx
import msgspec
from websockets.sync.client import connect

from ironflow.cli.process import Child
from tests.support.certificates import Pair
from tests.support.waiting import eventually

FUNCTIONS = """
from ironflow import function


@function("greet", on="visitor.arrived")
async def greet(ctx, visitor: dict):
    return await ctx.step.run("compose", lambda: f"Hello {visitor['name']}")


functions = [greet]
"""


def check_requests_and_websockets(url: str, pair: Pair) -> None:
    for http2, version in ((False, "HTTP/1.1"), (True, "HTTP/2")):
        with httpx.Client(verify=pair.trusted, http2=http2) as client:
            answer = client.get(f"{url}/ready")
        assert (answer.status_code, answer.http_version) == (200, version)
    with connect(f"{url.replace('https', 'wss')}/ws", ssl=pair.trusted) as socket:
        socket.send('{"type":"subscribe","subscription":{"pattern":"visitor.*"}}')
        answered = msgspec.json.decode(socket.recv(timeout=10))
    assert answered["results"][0]["status"] == "ok"


def check_worker(url: str, pair: Pair, mode: list[str], folder: Path) -> None:
    """A worker with these arguments runs a function."""
    (folder / "visitors.py").write_text(FUNCTIONS)
    with (folder / "worker.log").open("wb") as log:
        trusted = {"IRONFLOW_SERVER_URL": url, "SSL_CERT_FILE": str(pair.cert)}
        worker = Child(["worker", "visitors:functions", *mode], folder=folder, output=log, environment=trusted)
        try:
            with httpx.Client(verify=pair.trusted, base_url=url) as client:
                eventually(lambda: client.get("/api/v1/workers").json()["workers"])
                body = {"name": "visitor.arrived", "data": {"name": "Ada"}}
                (run_id,) = client.post("/api/v1/events", json=body).json()["run_ids"]
                eventually(lambda: client.get(f"/api/v1/runs/{run_id}").json()["status"] == "completed")
        finally:
            worker.stop()

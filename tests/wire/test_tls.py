"""TLS: HTTP/1.1 and HTTP/2 by ALPN on the one port, WebSockets, and workers of both kinds."""

import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.sync.client import connect

from ironflow.base.errors import IronflowError
from ironflow.cli.process import Child
from ironflow.server.settings import load_settings
from tests.support.certificates import Pair, a_pair
from tests.support.waiting import eventually
from tests.wire.server_process import a_server

FUNCTIONS = """
from ironflow import function


@function("greet", on="visitor.arrived")
async def greet(ctx, visitor: dict):
    return await ctx.step.run("compose", lambda: f"Hello {visitor['name']}")


functions = [greet]
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return a_pair(tmp_path_factory.mktemp("tls"))


@pytest.mark.processes
def test_one_port_has_http_1_and_2_and_websockets_over_tls(tmp_path: Path, pair: Pair):
    with a_server(tmp_path, **pair.settings) as server:
        assert server.address.startswith("https://")
        for http2, version in ((False, "HTTP/1.1"), (True, "HTTP/2")):
            with httpx.Client(verify=pair.trusted, http2=http2) as client:
                answer = client.get(f"{server.address}/ready")
            assert (answer.status_code, answer.http_version) == (200, version)
        with connect(f"{server.address.replace('https', 'wss')}/ws", ssl=pair.trusted) as socket:
            socket.send('{"type":"subscribe","subscription":{"pattern":"visitor.*"}}')
            answered = msgspec.json.decode(socket.recv(timeout=10))
        assert answered["results"][0]["status"] == "ok"
        with pytest.raises(httpx.TransportError):
            httpx.get(server.address.replace("https", "http") + "/ready")


@pytest.mark.processes
@pytest.mark.parametrize("mode", [[], ["--stream"]], ids=["polling", "streaming"])
def test_a_worker_runs_over_tls(tmp_path: Path, pair: Pair, mode: list[str]):
    (tmp_path / "visitors.py").write_text(FUNCTIONS)
    with a_server(tmp_path, **pair.settings) as server, (tmp_path / "worker.log").open("wb") as log:
        trusted = {"IRONFLOW_SERVER_URL": server.address, "SSL_CERT_FILE": str(pair.cert)}
        arguments = ["worker", "visitors:functions", *mode]
        worker = Child(arguments, folder=tmp_path, output=log, environment=trusted)
        try:
            with httpx.Client(verify=pair.trusted, base_url=server.address) as client:
                eventually(lambda: client.get("/api/v1/workers").json()["workers"])
                body = {"name": "visitor.arrived", "data": {"name": "Ada"}}
                (run_id,) = client.post("/api/v1/events", json=body).json()["run_ids"]
                eventually(lambda: client.get(f"/api/v1/runs/{run_id}").json()["status"] == "completed")
        finally:
            worker.stop()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"tls_cert": "cert.pem"}, "both"),
        ({"tls_key": "key.pem"}, "both"),
        ({"tls_cert": "nowhere.pem", "tls_key": "nowhere.pem"}, "nowhere.pem cannot be used"),
    ],
)
def test_a_certificate_without_its_key_or_without_a_file_is_refused(given: dict[str, str], text: str):
    with pytest.raises(IronflowError, match=text):
        load_settings(None, {}, **given)


def test_a_key_of_another_certificate_is_refused(pair: Pair, tmp_path: Path):
    other = tmp_path / "other.pem"
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(IronflowError, match="cannot be used"):
        load_settings(environ={}, tls_cert=str(pair.cert), tls_key=str(other))


@pytest.mark.processes
def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    used, renewed = a_pair(tmp_path / "first"), a_pair(tmp_path / "second")
    before, after = used.cert.read_text(), renewed.cert.read_text()
    with a_server(tmp_path, **used.settings) as server:
        url = server.address
        host, port = urlsplit(url).hostname or "", urlsplit(url).port or 0
        assert ssl.get_server_certificate((host, port)) == before
        # The certificate alone does not belong to the key.
        used.cert.write_bytes(renewed.cert.read_bytes())
        assert ssl.get_server_certificate((host, port)) == before
        used.key.write_bytes(renewed.key.read_bytes())
        eventually(lambda: ssl.get_server_certificate((host, port)) == after)
        assert httpx.get(f"{url}/health", verify=renewed.trusted).status_code == 200

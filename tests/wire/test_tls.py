"""TLS: HTTP/1.1 and HTTP/2 by ALPN on the one port, WebSockets, and workers of both kinds."""

import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ironflow.base.errors import IronflowError
from ironflow.server.settings import load_settings
from tests.support.certificates import Pair, a_pair
from tests.support.waiting import eventually
from tests.wire.server_process import a_server
from tests.wire.tls_address import check_requests_and_websockets, check_worker


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return a_pair(tmp_path_factory.mktemp("tls"))


@pytest.mark.processes
def test_one_port_has_http_1_and_2_and_websockets_over_tls(tmp_path: Path, pair: Pair):
    with a_server(tmp_path, **pair.settings) as server:
        assert server.address.startswith("https://")
        check_requests_and_websockets(server.address, pair)
        with pytest.raises(httpx.TransportError):
            httpx.get(server.address.replace("https", "http") + "/ready")


@pytest.mark.processes
@pytest.mark.parametrize("mode", [[], ["--stream"]], ids=["polling", "streaming"])
def test_a_worker_runs_over_tls(tmp_path: Path, pair: Pair, mode: list[str]):
    with a_server(tmp_path, **pair.settings) as server:
        check_worker(server.address, pair, mode, tmp_path)


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

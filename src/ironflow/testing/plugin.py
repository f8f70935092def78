"""The pytest plugin: a real server for tests that need one. It comes with the package; nothing is to be configured.

def test_an_order_is_charged(ironflow_server, ironflow_client):
    with ironflow_server.worker([process_order]):
        assert ironflow_client.emit_sync("order.placed", {"amount": 100}).output == {"charged": 100}
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ironflow.sync import Client
    from ironflow.testing.server_process import ServerProcess


@pytest.fixture(scope="session")
def ironflow_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ServerProcess]":
    """A server in a process of its own, with a database that begins empty, shared by the tests of the session."""
    from ironflow.testing.server_process import ServerProcess

    server = ServerProcess(tmp_path_factory.mktemp("ironflow"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def ironflow_client(ironflow_server: "ServerProcess") -> "Iterator[Client]":
    """An `ironflow.sync.Client` of that server. For an async one: `async with ironflow_server.client() as client`."""
    from ironflow.sync import Client

    with Client(ironflow_server.url) as client:
        yield client

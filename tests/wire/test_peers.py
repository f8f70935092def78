"""Whether a client is still there, asked of real connections."""

import os
import socket
import sys

import pytest

from ironflow.transports.peers import Link, Peers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers")


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest):
    """A client's socket and the server's end of it."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as listening:
        client = socket.create_connection(listening.getsockname()[:2])
        server, _ = listening.accept()
        with client, server:
            yield client, server


@pytest.fixture
def peers():
    found = Peers()
    yield found
    found.close()


def link(client: socket.socket) -> Link:
    return Link(client.getsockname()[:2], client.getpeername()[:2])


def test_an_open_connection_is_there_also_with_bytes_on_the_way(
    pair: tuple[socket.socket, socket.socket], peers: Peers
):
    client, _ = pair
    assert peers.is_connected(link(client))
    client.sendall(b"more")
    assert peers.is_connected(link(client))


def test_a_connection_that_its_client_closed_is_not_connected_also_with_unread_bytes(
    pair: tuple[socket.socket, socket.socket], peers: Peers
):
    client, _ = pair
    closed = link(client)
    client.sendall(b"more")
    client.close()
    assert not peers.is_connected(closed)


def test_a_connection_that_the_server_closed_is_not_connected_once_one_was_found_at_its_address(
    pair: tuple[socket.socket, socket.socket], peers: Peers
):
    client, server = pair
    assert peers.is_connected(link(client))
    server.close()
    assert not peers.is_connected(link(client))


def test_a_reused_descriptor_number_is_not_taken_for_the_connection(
    pair: tuple[socket.socket, socket.socket], peers: Peers
):
    client, server = pair
    assert peers.is_connected(link(client))
    number = server.detach()
    with open(os.devnull) as other:
        os.dup2(other.fileno(), number)
    before = set(os.listdir("/proc/self/fd"))
    assert not peers.is_connected(link(client))
    assert set(os.listdir("/proc/self/fd")) == before
    os.close(number)


def test_asking_opens_one_descriptor_however_often_it_is_done(pair: tuple[socket.socket, socket.socket], peers: Peers):
    peers.is_connected(link(pair[0]))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        peers.is_connected(link(pair[0]))
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_cannot_be_known_counts_as_there(peers: Peers):
    assert peers.is_connected(Link(("192.0.2.1", 1), ("192.0.2.2", 1)))
    assert peers.is_connected(Link(("192.0.2.1", 1), None))
    assert peers.is_connected(Link(("not an address", 1), ("192.0.2.2", 1)))
    assert peers.is_connected(None)

"""Whether a client is still there, asked of real sockets."""

import socket

import pytest

from ironflow.transports.peers import Peers


@pytest.fixture
def pair():
    """A client's socket and the server's end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
    with client, server:
        yield client, server


def test_an_open_connection_is_there_also_with_bytes_on_the_way(pair: tuple[socket.socket, socket.socket]):
    client, _ = pair
    peers = Peers()
    assert peers.is_connected(client.getsockname())
    client.sendall(b"more")
    assert peers.is_connected(client.getsockname())


def test_a_connection_that_its_client_closed_is_gone(pair: tuple[socket.socket, socket.socket]):
    client, _ = pair
    peers, peer = Peers(), client.getsockname()
    client.close()
    assert not peers.is_connected(peer)


def test_a_connection_that_the_server_closed_is_gone_once_it_was_seen(pair: tuple[socket.socket, socket.socket]):
    client, server = pair
    peers, peer = Peers(), client.getsockname()
    assert peers.is_connected(peer)
    server.close()
    assert not peers.is_connected(peer)


def test_a_peer_that_was_never_seen_counts_as_there():
    assert Peers().is_connected(("192.0.2.1", 1))
    assert Peers().is_connected(None)

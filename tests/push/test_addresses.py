"""Which addresses are called: in every notation, and as the name resolves at the moment of the connection."""

import socket
from typing import Any

import pytest

from ironflow.base.addresses import LOOPBACK, InvalidNetworks, is_allowed, networks_of
from ironflow.base.outgoing import AddressRefused, NotReached
from ironflow.transports.outbound import Outbound
from tests.push.endpoint import an_endpoint, completed

INNER = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1", "224.0.0.1",
    "255.255.255.255", "240.0.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1",
    "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::", "::127.0.0.1",
    "2001:db8::1", "fec0::1", "fec0::1%1", "64:ff9b:1::808:808", "64:ff9b:1:7f00:0:108:808:808", "::ffff:0:7f00:1",
    "::ffff:0:169.254.169.254", "2606:2800::5efe:a9fe:a9fe", "2606:2800::200:5efe:10.0.0.1", "3fff::1", "5f00::1",
    "not-an-address",
]  # fmt: skip
PUBLIC = [
    "93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8", "64:ff9b::808:808",
    "::ffff:0:808:808",
]  # fmt: skip


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_refused(address: str):
    assert not is_allowed(address, ())


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str):
    assert is_allowed(address, ())


def test_networks_are_allowed_by_name_also_behind_a_mapped_address():
    allowed = networks_of("10.0.0.0/8, 192.168.1.7,fd12::/16")
    assert [is_allowed(each, allowed) for each in ("10.9.8.7", "192.168.1.7", "fd12::1", "::ffff:10.1.1.1")] == [
        True
    ] * 4
    assert not any(is_allowed(each, allowed) for each in ("192.168.1.8", "127.0.0.1", "169.254.169.254", "fd13::1"))
    assert all(is_allowed(each, networks_of(LOOPBACK)) for each in ("127.0.0.1", "::1", "127.9.9.9"))
    # Teredo: its server is this machine, the host that it leads to is not.
    assert not is_allowed("2001:0:7f00:1::5601:5601", networks_of(LOOPBACK))
    with pytest.raises(InvalidNetworks):
        networks_of("the office")


NOTATIONS = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "[::1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "localhost", "0", "0.0.0.0", "[::]", "localhost.",
    "127.0.0.1.",
]  # fmt: skip


@pytest.mark.parametrize("host", NOTATIONS)
async def test_every_notation_of_loopback_is_refused_at_the_connection(host: str):
    async with an_endpoint(lambda _: completed()) as endpoint:
        port = endpoint.url.split(":")[2].split("/")[0]
        outbound = Outbound((), "test")
        try:
            # Some notations are no name to the resolver, and so reach nothing.
            with pytest.raises((AddressRefused, NotReached)):
                await outbound.post(f"http://{host}:{port}/", {}, b"{}", 5, 100)
        finally:
            await outbound.close()
        assert endpoint.requests == []


async def test_a_name_that_resolves_to_another_address_later_is_checked_at_each_connection(monkeypatch: Any):
    async with an_endpoint(lambda _: completed()) as endpoint:
        port = int(endpoint.url.split(":")[2].split("/")[0])
        answers = ["127.0.0.1", "127.0.0.2"]
        looked_up: list[str] = []

        def resolve(host: str, *_: Any) -> list[Any]:
            looked_up.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

        monkeypatch.setattr("ironflow.transports.outbound.sockets.socket.getaddrinfo", resolve)
        # The first answer is allowed, the second is what an attacker's name server gives next.
        for address, allowed in (("127.0.0.1", True), ("127.0.0.2", False)):
            outbound = Outbound(networks_of("127.0.0.1"), "test")
            try:
                if allowed:
                    answer = await outbound.post(f"http://rebind.test:{port}/", {}, b"{}", 5, 100)
                    assert answer.status == 200
                else:
                    with pytest.raises(AddressRefused) as refused:
                        await outbound.post(f"http://rebind.test:{port}/", {}, b"{}", 5, 100)
                    assert address in refused.value.message
            finally:
                await outbound.close()
        assert looked_up == ["rebind.test", "rebind.test"]
        assert len(endpoint.requests) == 1


MIXED = [("10.0.0.1", "127.0.0.1"), ("127.0.0.1", "10.0.0.1"), ("10.0.0.1", "169.254.169.254"), ("::1", "127.0.0.1")]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("addresses", MIXED, ids=" and ".join)
async def test_a_refused_address_is_named_also_where_another_of_the_name_is_not_listened_at(
    monkeypatch: Any, addresses: tuple[str, str], scheme: str
):
    """`https` goes over the connections of HTTP/2 first."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]

        def resolve(host: str, *_: Any) -> list[Any]:
            return [
                (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
                for each in addresses
            ]

        monkeypatch.setattr("ironflow.transports.outbound.sockets.socket.getaddrinfo", resolve)
        outbound = Outbound(networks_of("127.0.0.1"), "test")
        try:
            with pytest.raises(AddressRefused) as refused:
                await outbound.post(f"{scheme}://mixed.test:{port}/", {}, b"{}", 5, 100)
            assert any(each in refused.value.message for each in addresses if each != "127.0.0.1")
        finally:
            await outbound.close()


async def test_a_refused_address_does_not_matter_where_another_of_the_name_is_open(monkeypatch: Any):
    async with an_endpoint(lambda _: completed()) as endpoint:
        port = int(endpoint.url.split(":")[2].split("/")[0])

        def resolve(host: str, *_: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("10.0.0.1", "127.0.0.1")]

        monkeypatch.setattr("ironflow.transports.outbound.sockets.socket.getaddrinfo", resolve)
        outbound = Outbound(networks_of("127.0.0.1"), "test")
        try:
            assert (await outbound.post(f"http://mixed.test:{port}/", {}, b"{}", 5, 100)).status == 200
        finally:
            await outbound.close()

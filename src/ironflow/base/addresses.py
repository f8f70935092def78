"""Which network addresses the server may connect to on behalf of users; pure.

Loopback, link-local, private, shared and metadata addresses are refused unless a network is allowed by name: such an
address reaches what only this machine or its network can reach.
"""

import ipaddress
from collections.abc import Sequence

from ironflow.base.errors import InvalidArgument

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Not global for every version of Python, or reached by a machine as its own network: metadata addresses among them.
_INNER = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("100.64.0.0/10"))
# What is behind these prefixes is an IPv4 address: NAT64, and its local kind.
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
LOOPBACK = "127.0.0.0/8, ::1/128"


class InvalidNetworks(InvalidArgument):
    """Allowed networks are addresses or networks such as 10.0.0.0/8, separated by commas."""

    code = "INVALID_NETWORKS"


def networks_of(text: str) -> tuple[Network, ...]:
    """Raises InvalidNetworks."""
    try:
        return tuple(ipaddress.ip_network(each.strip(), strict=False) for each in text.split(",") if each.strip())
    except ValueError as fault:
        raise InvalidNetworks(f"{fault}; write networks such as 10.0.0.0/8, separated by commas.") from None


def is_allowed(text: str, allowed: Sequence[Network]) -> bool:
    """Whether the address may be connected to. text: as a socket has it, perhaps with a zone; else it is refused."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    addresses = [address, *_within(address)]
    if any(each in network for each in addresses for network in allowed if each.version == network.version):
        return True
    return all(each.is_global and not each.is_multicast and not _is_inner(each) for each in addresses)


def _is_inner(address: Address) -> bool:
    return any(address in network for network in _INNER if network.version == address.version)


def _within(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address leads to, by any of the ways of translation."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address] = []
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found += address.teredo
    if any(address in network for network in _NAT64) or int(address) >> 32 == 0:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found

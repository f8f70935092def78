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
_INNER = tuple(
    ipaddress.ip_network(each)
    for each in (
        "192.0.0.0/24",
        "100.64.0.0/10",
        # The former site-local addresses, which networks still use.
        "fec0::/10",
        # NAT64 of the own network, which may put the IPv4 address at any of several places (RFC 8215).
        "64:ff9b:1::/48",
        # For documentation, and for segment routing within a network.
        "3fff::/20",
        "5f00::/16",
    )
)
# What is behind these prefixes is an IPv4 address: NAT64, and stateless translation (RFC 2765).
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::ffff:0:0:0/96"))
# So is what follows these bits within any network: ISATAP (RFC 5214).
_ISATAP = (0x00005EFE, 0x02005EFE)
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
    if _is_in(address, allowed):
        return True
    within = _within(address)
    # One that is nothing but an IPv4 address is judged by that; another by itself and by all that it leads to.
    judged = within if _is_ipv4(address) else [address, *within]
    return all(_is_in(each, allowed) or _is_public(each) for each in judged)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not _is_in(address, _INNER)


def _is_ipv4(address: Address) -> bool:
    """Whether it is an IPv4 address in the notation of IPv6."""
    if isinstance(address, ipaddress.IPv4Address):
        return False
    return address.ipv4_mapped is not None or int(address) >> 32 == 0


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
    before = int(address) >> 32
    if any(address in network for network in _TRANSLATED) or before == 0 or before & 0xFFFFFFFF in _ISATAP:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found

"""Which host names are those of this machine."""

import ipaddress


def is_loopback(name: str) -> bool:
    """Whether a host name or address is this machine's own. A name below `localhost` is one too (RFC 6761)."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

"""File descriptors: how many this process may have, how many of them connections may take, and how many are in use.

A server without a free descriptor can neither accept nor open a file. So connections get a share of them only; when it
is used up, the HTTP server accepts no more until one closes, and clients wait in the queue of the system.
"""

import contextlib
import logging
import os
import resource

from ironflow.base.loop import Ran
from ironflow.base.time import Millis

logger = logging.getLogger(__name__)

# As much as a process is ever given: a system without a limit answers with a number beyond all use.
_LIMIT_MAX = 1_048_576
# The share of connections; the rest is for database files, connections to PostgreSQL and requests to others.
_SHARE = 0.75
# That rest at the least: an idle server on SQLite has 33 open, and each request may open files.
_OTHERS_MIN = 48
LOG_EVERY_MS = 60_000
# Where the open files of this process are listed, on Linux and macOS.
_OPEN_FILES = "/dev/fd"


def raise_limit() -> None:
    """Raises the soft limit on descriptors to the hard one, as far as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _LIMIT_MAX if hard == resource.RLIM_INFINITY else min(hard, _LIMIT_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS permits less than it reports.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def descriptors_max() -> int:
    """How many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _LIMIT_MAX if soft == resource.RLIM_INFINITY else min(soft, _LIMIT_MAX)


def connections_of(descriptors: int) -> int:
    """How many of them connections may take."""
    return max(1, min(int(descriptors * _SHARE), descriptors - _OTHERS_MIN))


def descriptors_open() -> int | None:
    """How many are open now; None where the system does not list them."""
    try:
        return len(os.listdir(_OPEN_FILES))
    except OSError:
        return None


class WatchDescriptors:
    """Warns while connections take about as many descriptors as they may.

    connections_max: the limit on connections. at_start: the descriptors that were open before there were connections.
    """

    name = "descriptors"
    topic = ""
    every_ms = 5_000
    notable = ()

    def __init__(self, connections_max: int, at_start: int) -> None:
        self._connections_max = connections_max
        self._full = connections_max + at_start
        self._logged_at: Millis | None = None
        self.warning: str | None = None

    async def run_once(self, now: Millis) -> Ran:
        self.see(descriptors_open(), now)
        return Ran()

    def see(self, descriptors: int | None, now: Millis) -> None:
        """Takes note of how many descriptors are open."""
        if descriptors is None or descriptors < self._full:
            self.warning = None
            return
        self.warning = (
            f"{descriptors} file descriptors are open; {self._connections_max} of them may be connections, and new "
            "connections wait. Look for clients that open many, or raise the limit on descriptors (ulimit -n)."
        )
        if self._logged_at is None or now - self._logged_at >= LOG_EVERY_MS:
            self._logged_at = now
            logger.warning(
                "connections wait", extra={"descriptors": descriptors, "connections_max": self._connections_max}
            )

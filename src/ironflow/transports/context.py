"""From request headers to a Call: environment, principal, run. Source: protocol/rest.md 1.1."""

import re
from collections.abc import Callable, Mapping
from functools import partial

from ironflow.base.call import ANYONE, Call
from ironflow.base.errors import InvalidArgument
from ironflow.base.time import Clock
from ironflow.transports.peers import Peer, Peers

DEFAULT_ENVIRONMENT = "default"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class InvalidEnvironment(InvalidArgument):
    """An environment's name is 1 to 128 letters, digits, `_`, `-` or `.`."""

    code = "INVALID_ENVIRONMENT"


class CallContext:
    """Makes a Call from headers; the clock is given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._peers = Peers()

    def call_of(self, headers: Mapping[str, str], peer: Peer | None = None) -> Call:
        """Raises InvalidEnvironment."""
        named = headers.get("x-ironflow-environment") or headers.get("x-ironflow-environment-id")
        return Call(
            environment=environment_of(named),
            now=self._clock.now(),
            principal=ANYONE,
            run_id=headers.get("x-ironflow-run-id", ""),
            runtime=headers.get("x-ironflow-sdk", ""),
            is_there=self.is_there(peer),
        )

    def is_there(self, peer: Peer | None) -> Callable[[], bool]:
        """What tells whether the peer still is connected."""
        return partial(self._peers.is_connected, peer)


def environment_of(named: str | None) -> str:
    """The environment meant by a header's text; absent, `default` and `env_default` are the default one."""
    if not named or named in (DEFAULT_ENVIRONMENT, "env_default"):
        return DEFAULT_ENVIRONMENT
    if not _NAME.fullmatch(named):
        raise InvalidEnvironment(f"{named[:60]!r} is no environment name: write letters, digits, `_`, `-` or `.`.")
    return named

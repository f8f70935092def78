"""Callers who may not do everything, where the test needs one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ironflow.base.call import Call
from ironflow.base.errors import PermissionDenied
from tests.support.server import Server


@contextmanager
def refused(server: Server, *scopes: str) -> Iterator[None]:
    """Inside the block the server refuses these scopes to every caller."""

    def authorise(_call: Call, scope: str, _request: Any = None) -> None:
        if scope in scopes:
            raise PermissionDenied(f"{scope} is refused.")

    before, server.dispatch.authorise = server.dispatch.authorise, authorise
    try:
        yield
    finally:
        server.dispatch.authorise = before

"""Coroutines that were driven by hand up to their first wait, and go on from there.

Work that rarely waits is run at once, without a task or a timer of its own; only what does wait gets one.
"""

from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


@coroutine
def resumed(work: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """Awaits the rest of `work`, which has been sent None once and waits for `awaited`."""
    try:
        while True:
            try:
                sent = yield awaited
            except GeneratorExit:
                work.close()
                raise
            except BaseException as thrown:  # noqa: BLE001 passed on into the work
                awaited = work.throw(thrown)
            else:
                awaited = work.send(sent)
    except StopIteration as ended:
        return ended.value

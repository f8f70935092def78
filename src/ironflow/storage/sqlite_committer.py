"""The thread in which SQLite commits."""

import asyncio
import queue
import threading
from collections.abc import Callable

# Called on the event loop after a commit; given its error, or None.
Then = Callable[[BaseException | None], None]


class Committer:
    """Runs one commit after another in a thread of its own.

    A queue instead of an executor: of each commit it saves two futures, their callbacks and a lock, which is a third of
    the time on the event loop.
    """

    def __init__(self, commit: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self._commit = commit
        self._loop = loop
        self._asked: queue.SimpleQueue[Then | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sqlite-commit", daemon=True)
        self._thread.start()

    def commit(self, then: Then) -> None:
        """Starts a commit; returns at once."""
        self._asked.put(then)

    def stop(self) -> None:
        """Ends the thread, after what was started."""
        self._asked.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (then := self._asked.get()) is not None:
            fault: BaseException | None = None
            try:
                self._commit()
            except BaseException as surprise:  # noqa: BLE001 - passed on to the callers
                fault = surprise
            self._loop.call_soon_threadsafe(then, fault)

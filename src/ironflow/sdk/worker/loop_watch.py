"""Names code that blocks the event loop of a worker: heartbeats and other handlers wait for it."""

import asyncio
import sys
import sysconfig
import threading
import time
from contextvars import copy_context
from pathlib import Path
from types import FrameType

from ironflow.sdk.user_code import call
from ironflow.sdk.user_code.logs import SdkLogger

logger = SdkLogger("ironflow.worker")

BLOCKED_AFTER_S = 1.0
_SDK = str(Path(__file__).parents[2])
_CALLS = call.__file__
_LIBRARIES = (_SDK, *(sysconfig.get_paths()[kind] for kind in ("stdlib", "purelib", "platlib")), "<frozen ")


class LoopWatch:
    """A thread that looks at the loop's thread when the loop has stood still for `after_s` seconds.

    Each place in user code is named once.
    """

    def __init__(self, after_s: float = BLOCKED_AFTER_S) -> None:
        self._after_s = after_s
        self._beat_at = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._ended = threading.Event()
        self._named: set[tuple[str, str]] = set()

    def start(self) -> None:
        """Called on the loop that is watched."""
        self._beat(asyncio.get_running_loop())
        arguments = (self._watch, threading.get_ident())
        # With the context of the worker, whose logger it has.
        threading.Thread(target=copy_context().run, args=arguments, name="ironflow-loop-watch", daemon=True).start()

    def stop(self) -> None:
        """Called on the loop that is watched."""
        self._ended.set()
        if self._handle is not None:
            self._handle.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat_at = time.monotonic()
        self._handle = loop.call_later(self._after_s / 4, self._beat, loop)

    def _watch(self, thread_id: int) -> None:
        while not self._ended.wait(self._after_s / 4):
            blocked_s = time.monotonic() - self._beat_at
            if blocked_s >= self._after_s:
                self._look(sys._current_frames().get(thread_id))

    def _look(self, frame: FrameType | None) -> None:
        found = users_frame(frame)
        if found is None:
            return
        place = (found.f_code.co_filename, found.f_code.co_qualname)
        if place not in self._named:
            self._named.add(place)
            fields = {"code": f"{place[0]}:{found.f_lineno}", "in_function": place[1]}
            logger.warning("code blocks the event loop; await instead, or make it a plain function", extra=fields)


def users_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of user code that was called from here; None when other code runs."""
    found: FrameType | None = None
    while frame is not None and frame.f_code.co_filename != _CALLS:
        if found is None and not frame.f_code.co_filename.startswith(_LIBRARIES):
            found = frame
        frame = frame.f_back
    return found if frame is not None else None

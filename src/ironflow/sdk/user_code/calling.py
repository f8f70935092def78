"""Where in the user's program a step is called: the file and line of the first frame outside of this package.

A step that stands in a task of its own, as within `asyncio.gather`, or in a lambda of a parallel, has none.
"""

import asyncio
import sys
import threading
from contextvars import ContextVar
from pathlib import Path
from types import CodeType, FrameType

# The feature of a server that takes them.
STEP_SOURCES = "step-sources"

_PACKAGE = str(Path(__file__).parents[2]) + "/"
# Where the stack of a task or a thread begins.
_OUTER = (str(Path(asyncio.__file__).parent) + "/", threading.__file__)
_DEPTH_MAX = 40

# The frame in which a plain handler's thread waits for a step on the loop. Read only when a line is wanted: a replay
# wants none.
of_thread: ContextVar[FrameType | None] = ContextVar("of_thread", default=None)

# Whose code it is: the user's, this package's, or what runs both. Bounded by the program's text.
_owners: dict[CodeType, str] = {}


def calling_line() -> str:
    """`FILE:LINE` of the nearest frame of the user's; empty where there is none."""
    return _line(sys._getframe(1)) or _line(of_thread.get())


def calling_frame() -> FrameType:
    """The frame of the caller, for `of_thread`."""
    return sys._getframe(1)


def _line(frame: FrameType | None) -> str:
    for _ in range(_DEPTH_MAX):
        if frame is None:
            break
        code = frame.f_code
        owner = _owners.get(code)
        if owner is None:
            owner = _owners[code] = _owner(code.co_filename)
        if owner == "user":
            return f"{code.co_filename}:{frame.f_lineno}"
        if owner == "outer":
            break
        frame = frame.f_back
    return ""


def _owner(file: str) -> str:
    if file.startswith(_PACKAGE):
        return "package"
    return "outer" if file.startswith(_OUTER) or file.startswith("<") else "user"

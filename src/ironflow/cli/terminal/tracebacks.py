"""Tracebacks of user code, such as a module that cannot be imported, without the frames of this program."""

import importlib
import sys
import traceback
from pathlib import Path
from types import TracebackType

import cyclopts

_OURS = (str(Path(__file__).parents[2]), str(Path(cyclopts.__file__).parent), "<frozen runpy>")
_IMPORTING = (str(Path(importlib.__file__).parent), "<frozen importlib")


def show_users_frames(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    """A `sys.excepthook`: like Python's, from the first user frame on; complete when there is no user frame."""
    print("".join(traceback.format_exception(kind, fault, users_part(trace))), end="", file=sys.stderr)


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame outside this program on; None for a file that Python cannot parse."""
    ours = importing = False
    rest = trace
    while rest is not None:
        name = rest.tb_frame.f_code.co_filename
        ours, importing = ours or name.startswith(_OURS), importing or name.startswith(_IMPORTING)
        # The first frames are the entry point: the console script, or `python -m`.
        if ours and not name.startswith(_OURS + _IMPORTING):
            return rest
        rest = rest.tb_next
    return None if importing else trace

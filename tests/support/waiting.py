"""Waiting for what real processes do: a condition is polled until a deadline."""

import threading
import time
from collections.abc import Callable

LOOK_EVERY_S = 0.02


def eventually(holds: Callable[[], bool], within_s: float = 20.0) -> None:
    """Returns as soon as `holds`; raises AssertionError when it does not within `within_s`."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, f"did not happen within {within_s:g} s"
        pause.wait(LOOK_EVERY_S)

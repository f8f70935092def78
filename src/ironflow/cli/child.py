"""`python -m ironflow.cli.child ARGUMENTS…` is `ironflow ARGUMENTS…` that ends when its standard input is closed.

A parent holds the other end of that pipe, so that its children end with it, also when it is killed with `kill -9`.
"""

import os
import runpy
import signal
import threading

STOP_WITHIN_S = 10.0


def end_with_parent() -> None:
    """From here on SIGTERM ends this process when its standard input is closed, and an exit after STOP_WITHIN_S."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    # Not by way of sys.stdin, which a thread must not hold when the program ends.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(STOP_WITHIN_S)
    os._exit(1)


if __name__ == "__main__":
    end_with_parent()
    runpy.run_module("ironflow", run_name="__main__", alter_sys=True)

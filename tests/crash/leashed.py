"""Runs a module in a process that ends with its parent, however the parent ends.

    python -m tests.crash.leashed MODULE …

A test run that is killed leaves no server or worker behind. On systems other than Linux it only runs the module.
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            # The parent ended before the signal was requested.
            sys.exit(1)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

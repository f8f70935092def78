"""A process that does not outlive the one that started it, whatever ends that.

    python -m tests.crash.leashed MODULE …

So a test run that is killed leaves no server or worker behind. Elsewhere than on Linux it is just `python -m MODULE …`.
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
            # The one who started it was gone before the leash was on.
            sys.exit(1)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

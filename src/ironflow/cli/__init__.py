"""The command line: tables for terminals, JSON with `--json`, and an exit code for each kind of result.

`app.py` holds the command tree; open it first. The code of `ironflow NOUN` is `NOUN.py`, here or in one of the folders.
"""

import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType


def terminable() -> None:
    """Installs a handler of SIGTERM, which ends a command as Ctrl-C does, but with another exit code.

    `serve` and `worker` replace the handler while they run.
    """

    def terminate(signal_number: int, frame: FrameType | None) -> None:
        from ironflow.cli.exits import TerminatedBySignal

        raise TerminatedBySignal

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its exit code.

    arguments: the arguments after `ironflow`; None takes those of the process.
    """
    terminable()
    # Imported with the handler installed: SIGTERM during a long import ends the command in the same way.
    from ironflow.cli.app import run_command

    sys.exit(run_command(list(sys.argv[1:] if arguments is None else arguments)))

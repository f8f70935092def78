"""The command line: tables for terminals, JSON with `--json`, and an exit code for each kind of result.

`app.py` holds the command tree; open it first. `ironflow NOUN` is `NOUN.py` or a module of the folder of its noun.
"""

import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType


def terminable() -> None:
    """From here on SIGTERM ends a command as Ctrl-C does, with an exit code of its own.

    `serve` and `worker` have their own handlers while they run.
    """

    def terminate(number: int, frame: FrameType | None) -> None:
        from ironflow.cli.exits import TerminatedBySignal

        raise TerminatedBySignal

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its exit code.

    arguments: the arguments after `ironflow`; None takes those of the process.
    """
    terminable()
    from ironflow.cli.app import run_command

    sys.exit(run_command(list(sys.argv[1:] if arguments is None else arguments)))

"""The command line: tables for people, `--json` for programs, and exit codes that mean something."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its exit code.

    arguments: the words after `ironflow`; None takes the process's own.
    """
    from ironflow.cli.app import run_command

    sys.exit(run_command(list(sys.argv[1:] if arguments is None else arguments)))

"""`ironflow completion`: the script by which a shell completes commands and options."""

from typing import Literal

from cyclopts import App

from ironflow.cli.app import app as program
from ironflow.cli.app import load_all
from ironflow.cli.invocation import Injected

app = App("completion")


@app.default
def completion(shell: Literal["bash", "zsh", "fish"], /, *, cli: Injected) -> None:
    """Print the script that completes commands and options in a shell.

    For bash, write it to `~/.local/share/bash-completion/completions/ironflow`; for zsh, to `_ironflow` in a folder of
    `fpath`; for fish, to `~/.config/fish/completions/ironflow.fish`.

    Args:
        shell: The shell.
    """
    load_all()
    cli.write(program.generate_completion(prog_name="ironflow", shell=shell).encode() + b"\n")

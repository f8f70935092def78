"""`ironflow validate`: checks a file of settings without starting a server."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.invocation import Injected

app = App("validate")


@app.default
def validate(*, file: Annotated[Path, Parameter(name=["--file", "-f"])], cli: Injected) -> None:
    """Check a file of settings, as `serve -f` would read it; exit code 2 when it is not valid.

    Args:
        file: A YAML file of kind Server.
    """
    from ironflow.server.settings import load_settings
    from ironflow.server.unused import unused_keys

    load_settings(file)
    unused = unused_keys(file, os.environ)
    for name, reason in unused.items():
        cli.note(f"{name} has no effect: {reason}", "yellow")
    cli.show({"file": str(file), "valid": True, "unused": unused}, lambda: f"{file} is valid")

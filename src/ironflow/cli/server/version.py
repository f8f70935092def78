"""`ironflow version`."""

import platform

from cyclopts import App

from ironflow.base.version import VERSION
from ironflow.cli.invocation import Injected

app = App("version")


@app.default
def version(*, cli: Injected) -> None:
    """Show the version of this program.

    `ironflow server info` shows the version of the server.
    """
    answer = {"version": VERSION, "python": platform.python_version()}
    cli.show(answer, lambda: f"ironflow {VERSION} (Python {answer['python']})")

"""Runs a command and restarts it when a Python file changes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from watchfiles import PythonFilter, watch

from ironflow.cli.process import Child

_LOOK_EVERY_MS = 300


def run_reloading(
    arguments: Sequence[str],
    folder: Path,
    note: Callable[[str], None],
    *,
    environment: Mapping[str, str] | None = None,
    keep_running: Callable[[], bool] = lambda: True,
) -> None:
    """Keeps `ironflow ARGUMENTS…` running until interrupted or until `keep_running` returns False.

    A change of a Python file below `folder` stops it gracefully and starts it again. A command that ends by itself,
    for example because of a syntax error, is started again at the next change.
    """
    child = Child(arguments, environment=environment)
    reported = False
    try:
        for changes in watch(
            folder,
            watch_filter=PythonFilter(),
            rust_timeout=_LOOK_EVERY_MS,
            yield_on_timeout=True,
            raise_interrupt=True,
        ):
            if not keep_running():
                return
            if changes:
                names = sorted({_shown(Path(path), folder) for _, path in changes})
                note(f"{', '.join(names[:3])} changed; restarting")
                child.stop()
                child, reported = Child(arguments, environment=environment), False
            elif child.exit_code is not None and not reported:
                note(f"the worker ended with exit code {child.exit_code}; waiting for a change")
                reported = True
    finally:
        child.stop()


def _shown(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder.resolve())) if path.is_relative_to(folder.resolve()) else path.name

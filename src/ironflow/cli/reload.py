"""Runs a command and starts it again whenever a Python file changes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from watchfiles import PythonFilter, watch

from ironflow.cli.process import Child

_LOOK_EVERY_MS = 300


def run_reloading(
    words: Sequence[str],
    folder: Path,
    say: Callable[[str], None],
    *,
    environment: Mapping[str, str] | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> None:
    """Keeps `ironflow WORDS…` running until interrupted or until `go_on` says no.

    Changes of Python files below `folder` end it, letting it finish what it does, and start it again. A command that
    ends by itself, for a syntax error perhaps, is started again at the next change.
    """
    child = Child(words, environment=environment)
    told = False
    try:
        for changes in watch(
            folder,
            watch_filter=PythonFilter(),
            rust_timeout=_LOOK_EVERY_MS,
            yield_on_timeout=True,
            raise_interrupt=True,
        ):
            if not go_on():
                return
            if changes:
                names = sorted({_shown(Path(path), folder) for _, path in changes})
                say(f"{', '.join(names[:3])} changed; restarting")
                child.stop()
                child, told = Child(words, environment=environment), False
            elif child.exit_code is not None and not told:
                say(f"the worker ended with exit code {child.exit_code}; waiting for a change")
                told = True
    finally:
        child.stop()


def _shown(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder.resolve())) if path.is_relative_to(folder.resolve()) else path.name

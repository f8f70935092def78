"""What people write to choose runs."""

from ironflow.cli.exits import UsageError
from ironflow.features.runs.contract import RunStatus


def run_status(word: str) -> RunStatus:
    """The status that a word means. Raises UsageError."""
    try:
        found = RunStatus.accept(word)
    except ValueError:
        found = None
    if found is None:
        known = ", ".join(each.value for each in RunStatus)
        raise UsageError(f"{word!r} is no status of a run. There are {known}.")
    return found

"""Filters of runs."""

import re
from dataclasses import dataclass, field

from ironflow.cli.exits import UsageError
from ironflow.features.runs.contract import RunStatus

FILTER_HELP = (
    "As in the dashboard: status:failed since:1h function:pay event:ID parent:ID key:K "
    'error:"card declined" step:charge output:order.total=1200 text.'
)
_TERM = re.compile(r'(?:([A-Za-z_]+):)?(?:"([^"]*)"|(\S+))')


@dataclass(slots=True)
class RunFilter:
    """A filter line of runs; empty texts filter nothing. search: the texts without a name."""

    statuses: list[str] = field(default_factory=list)
    function: str = ""
    event: str = ""
    parent: str = ""
    since: str = ""
    until: str = ""
    search: str = ""
    key: str = ""
    error: str = ""
    output: str = ""
    step: str = ""


def read_filter(line: str) -> RunFilter:
    """The filter line of the dashboard: `status:failed since:1h text`. Raises UsageError for an unknown name."""
    found = RunFilter()
    texts: list[str] = []
    for name, quoted, bare in _TERM.findall(line):
        value = quoted or bare
        match name:
            case "":
                texts.append(value)
            case "status":
                found.statuses += value.split(",")
            case "function" | "event" | "parent" | "since" | "until" | "key" | "error" | "output" | "step":
                setattr(found, name, value)
            case _:
                raise UsageError(
                    f"{name}: is not a filter of runs. "
                    "Use status:, function:, event:, parent:, since:, until:, key:, error:, step:, output: or a text."
                )
    found.search = " ".join(texts)
    return found


def run_status(given: str) -> RunStatus:
    """The run status named `given`. Raises UsageError."""
    try:
        found = RunStatus.accept(given)
    except ValueError:
        found = None
    if found is None:
        known = ", ".join(each.value for each in RunStatus)
        raise UsageError(f"{given!r} is not a run status. Use one of {known}.")
    return found

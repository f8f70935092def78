"""The history of a run as a document of a line for each moment, in which an editor shows the place; pure."""

from typing import Any

from ironflow.debugging.dap.protocol import Refused
from ironflow.debugging.history import History

_KIND_CHARS = 28


class HistorySource:
    """A document whose reference is the number of its lines: a longer history is another document."""

    def __init__(self, run_id: str, history: History) -> None:
        self._run_id = run_id
        self._history = history

    @property
    def reference(self) -> dict[str, Any]:
        """The document as the protocol names it."""
        return {
            "name": f"{self._run_id}.history",
            "sourceReference": len(self._history),
            "origin": "recorded history",
            "presentationHint": "emphasize",
        }

    def content(self, reference: int) -> str:
        """Its text. Raises Refused."""
        if not 1 <= reference <= len(self._history):
            raise Refused(f"there is no document {reference}; the history of {self._run_id} is {len(self._history)}.")
        lines = (
            f"{each.at:%H:%M:%S}.{each.at.microsecond // 1000:03d}  {each.kind:<{_KIND_CHARS}}  "
            # A line break within a summary would shift all lines after it.
            f"{' '.join(each.summary.split())}"
            for each in self._history.moments[:reference]
        )
        return "\n".join(lines) + "\n"

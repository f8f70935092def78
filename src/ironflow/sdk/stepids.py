"""Step ids: where in the handler a step stands. The same for every SDK, so that their runs can be read alike.

Source: protocol/step-semantics.md 1.
"""

_NAMESPACES = ("compensate:", "publish:")


class Scope:
    """A place where steps are counted by name: the run itself, or one branch of a parallel."""

    __slots__ = ("_counts", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._counts: dict[str, int] = {}

    def next_id(self, name: str) -> str:
        """The id of the next step called `name`; the first has index 0."""
        index = self._counts.get(name, 0)
        self._counts[name] = index + 1
        return f"{self.path}:{escaped(name)}:{index}"

    def branch(self, name: str, index: int) -> "Scope":
        """The scope of branch `index` of the parallel called `name`; it counts afresh."""
        return Scope(f"{self.path}:{escaped(name)}:{index}")


def escaped(name: str) -> str:
    """`name` with `\\` and `:` written as `\\\\` and `\\:`, except in the SDK's own prefix."""
    if ":" not in name and "\\" not in name:
        return name
    for prefix in _NAMESPACES:
        if name.startswith(prefix):
            return prefix + _raw(name.removeprefix(prefix))
    return _raw(name)


def _raw(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")

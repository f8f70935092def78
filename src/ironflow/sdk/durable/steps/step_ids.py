"""Step ids: where in the handler a step stands. The same for every SDK, so that their runs can be read alike.

Source: protocol/step-semantics.md 1.
"""

from random import Random

from ironflow.base.errors import ValidationError
from ironflow.sdk.values.texts import is_storable

_NAMESPACES = ("compensate:", "publish:")


class Scope:
    """A place where steps are counted by name: the run itself, or one branch of a parallel.

    asked: ids of its steps in the order in which they were asked for. branches: that it has had. begun_after: of a
    branch, how many steps and branches of its parent came before. uuids, random, values: what was made at this place.
    """

    __slots__ = ("_counts", "asked", "begun_after", "branches", "parent", "path", "random", "uuids", "values")

    def __init__(self, path: str, parent: "Scope | None" = None, begun_after: tuple[int, int] = (0, 0)) -> None:
        self.path = path
        self.parent = parent
        self.begun_after = begun_after
        self.asked: list[str] = []
        self.branches: list[Scope] = []
        self.uuids = self.values = 0
        self.random: Random | None = None
        self._counts: dict[str, int] = {}

    def next_id(self, name: str) -> str:
        """The id of the next step called `name`; the first has index 0."""
        index = self._counts.get(name, 0)
        self._counts[name] = index + 1
        step_id = f"{self.path}:{escaped(name)}:{index}"
        self.asked.append(step_id)
        return step_id

    def of_branches(self, name: str) -> str:
        """Where the ids of all steps in branches of the parallel called `name` begin."""
        return f"{self.path}:{escaped(name)}:"

    def branch(self, name: str, index: int) -> "Scope":
        """The scope of branch `index` of the parallel called `name`; it counts afresh."""
        return Scope(f"{self.path}:{escaped(name)}:{index}", self)

    def parallel(self, name: str, count: int) -> "list[Scope]":
        """The scopes of all branches of a parallel."""
        begun_after = (len(self.asked), len(self.branches))
        branches = [self.branch(name, index) for index in range(count)]
        for each in branches:
            each.begun_after = begun_after
        self.branches += branches
        return branches

    def race(self, step_id: str, count: int) -> "list[Scope]":
        """The scopes of the branches of a race. step_id: of the step that records how it ended, asked for just now."""
        begun_after = (len(self.asked) - 1, len(self.branches))
        branches = [Scope(f"{step_id}:{index}", self, begun_after) for index in range(count)]
        self.branches += branches
        return branches


def escaped(name: str) -> str:
    """`name` with `\\` and `:` written as `\\\\` and `\\:`, except in the SDK's own prefix.

    Raises ValidationError for a name that no report could have.
    """
    if not is_storable(name):
        raise ValidationError(f"a step is called {name!r}; leave out U+0000 and halves of surrogate pairs.")
    if ":" not in name and "\\" not in name:
        return name
    for prefix in _NAMESPACES:
        if name.startswith(prefix):
            return prefix + _raw(name.removeprefix(prefix))
    return _raw(name)


def _raw(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


def is_in_scope(step_id: str, scope: str) -> bool:
    """Whether a step is of a branch of the parallel whose path is `scope`, which ends with a colon.

    A step with the parallel's own name is not: its id has nothing but its index there.
    """
    return step_id.startswith(scope) and ":" in step_id.removeprefix(scope)

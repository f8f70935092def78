"""Finds what is served at a path. `{name}` takes one segment, `{name...}` as much as is left, slashes included.

Literal segments win over names, names over rests; a rest may be followed by literals (`/functions/{id...}/invoke`).
"""

import re
from typing import Generic, TypeVar

T = TypeVar("T")

_SEGMENT = re.compile(r"\{(\w+)(\.\.\.)?\}")


class Router(Generic[T]):
    """Paths of one segment structure are found by dict; paths with names by regular expressions, best first."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], T] = {}
        self._shaped: dict[str, list[tuple[tuple[int, ...], re.Pattern[str], T]]] = {}

    def add(self, method: str, path: str, target: T) -> None:
        if "{" not in path:
            self._exact[method, path] = target
            return
        shapes = self._shaped.setdefault(method, [])
        shapes.append((_rank(path), _compile(path), target))
        shapes.sort(key=lambda shape: shape[0])

    def find(self, method: str, path: str) -> tuple[T, dict[str, str]] | None:
        """What is served there, with the values of the names in the path. path: percent-encoding undone."""
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, {}
        for _, shape, target in self._shaped.get(method, ()):
            match = shape.fullmatch(path)
            if match is not None:
                return target, match.groupdict()
        return None

    def methods_of(self, path: str) -> list[str]:
        """The methods that the path takes; empty when there is no such path."""
        methods = {method for method, exact in self._exact if exact == path}
        methods.update(
            method for method, shapes in self._shaped.items() if any(shape.fullmatch(path) for _, shape, _ in shapes)
        )
        return sorted(methods)


def _compile(path: str) -> re.Pattern[str]:
    pattern = ""
    at = 0
    for match in _SEGMENT.finditer(path):
        pattern += re.escape(path[at : match.start()])
        pattern += f"(?P<{match[1]}>.+)" if match[2] else f"(?P<{match[1]}>[^/]+)"
        at = match.end()
    return re.compile(pattern + re.escape(path[at:]), re.DOTALL)


def _rank(path: str) -> tuple[int, ...]:
    """Sorts shapes: literal segments first, then names, then rests; longer before shorter."""
    kinds = [2 if "...}" in part else 1 if "{" in part else 0 for part in path.split("/")[1:]]
    return (sum(kind == 2 for kind in kinds), -len(kinds), *kinds)

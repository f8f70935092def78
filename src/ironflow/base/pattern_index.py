"""Finds the targets whose pattern matches a name, by a tree of tokens: patterns that do not match cost nothing."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from ironflow.base.pattern import matches

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("any", "children", "here", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        # `*`, one token.
        self.any: _Node[T] | None = None
        # Targets of patterns that end here, and of those that end here with `>`.
        self.here: dict[T, None] = {}
        self.rest: dict[T, None] = {}

    def is_empty(self) -> bool:
        return not (self.children or self.any or self.here or self.rest)


class PatternIndex(Generic[T]):
    """Targets by pattern.

    A name is given as its parts. A part with dots in it, such as an id, counts as one token: `*` matches it whole.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        # Patterns such as `order*`, whose star is part of a token: tried one after the other.
        self._odd: dict[str, dict[T, None]] = {}

    def add(self, pattern: str, target: T) -> None:
        if _is_odd(pattern):
            self._odd.setdefault(pattern, {})[target] = None
            return
        node, tokens = self._root, pattern.split(".")
        for token in tokens:
            if token == ">":
                node.rest[target] = None
                return
            if token == "*":
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.children.setdefault(token, _Node())
        node.here[target] = None

    def remove(self, pattern: str, target: T) -> None:
        if _is_odd(pattern):
            self._odd[pattern].pop(target)
            if not self._odd[pattern]:
                del self._odd[pattern]
            return
        path: list[tuple[_Node[T], str]] = []
        node = self._root
        tokens = pattern.split(".")
        for token in tokens:
            if token == ">":
                break
            path.append((node, token))
            following = node.any if token == "*" else node.children[token]
            assert following is not None
            node = following
        (node.rest if tokens[-1] == ">" else node.here).pop(target)
        for parent, token in reversed(path):
            child = parent.any if token == "*" else parent.children[token]
            if child is None or not child.is_empty():
                return
            if token == "*":
                parent.any = None
            else:
                del parent.children[token]

    def find(self, parts: tuple[str, ...]) -> list[T]:
        """The targets whose pattern fits, each once."""
        found: dict[T, None] = {}
        for targets in self._walk(self._root, parts, 0):
            found.update(targets)
        if self._odd:
            name = ".".join(parts)
            for pattern, targets in self._odd.items():
                if matches(pattern, name):
                    found.update(targets)
        return list(found)

    def _walk(self, node: _Node[T], parts: tuple[str, ...], at: int) -> Iterator[dict[T, None]]:
        if at == len(parts):
            if node.here:
                yield node.here
            return
        if node.rest:
            yield node.rest
        part = parts[at]
        if node.any is not None and part:
            yield from self._walk(node.any, parts, at + 1)
        following: _Node[T] | None = node
        for token in part.split("."):
            # Literal tokens match a part with dots token by token.
            following = following.children.get(token)
            if following is None:
                return
        yield from self._walk(following, parts, at + 1)


def _is_odd(pattern: str) -> bool:
    return any("*" in token and token != "*" for token in pattern.split("."))

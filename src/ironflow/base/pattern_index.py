"""Whose pattern an event fits: a tree of pattern words, so that a thousand other patterns cost nothing."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from ironflow.base.pattern import matches

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("here", "one", "rest", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Node[T]] = {}
        # `*`, one word.
        self.one: _Node[T] | None = None
        # What ends here, and what ends here with `>`.
        self.here: dict[T, None] = {}
        self.rest: dict[T, None] = {}

    def is_empty(self) -> bool:
        return not (self.words or self.one or self.here or self.rest)


class PatternIndex(Generic[T]):
    """Targets by pattern. An event's parts are its words; a part with dots in it, such as an id, is one word."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        # Patterns such as `order*`, whose star is part of a word: tried one after the other.
        self._odd: dict[str, dict[T, None]] = {}

    def add(self, pattern: str, target: T) -> None:
        if _is_odd(pattern):
            self._odd.setdefault(pattern, {})[target] = None
            return
        node, words = self._root, pattern.split(".")
        for word in words:
            if word == ">":
                node.rest[target] = None
                return
            if word == "*":
                node.one = node.one or _Node()
                node = node.one
            else:
                node = node.words.setdefault(word, _Node())
        node.here[target] = None

    def remove(self, pattern: str, target: T) -> None:
        if _is_odd(pattern):
            self._odd[pattern].pop(target)
            if not self._odd[pattern]:
                del self._odd[pattern]
            return
        path: list[tuple[_Node[T], str]] = []
        node = self._root
        words = pattern.split(".")
        for word in words:
            if word == ">":
                break
            path.append((node, word))
            following = node.one if word == "*" else node.words[word]
            assert following is not None
            node = following
        (node.rest if words[-1] == ">" else node.here).pop(target)
        for parent, word in reversed(path):
            child = parent.one if word == "*" else parent.words[word]
            if child is None or not child.is_empty():
                return
            if word == "*":
                parent.one = None
            else:
                del parent.words[word]

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
        if node.one is not None and part:
            yield from self._walk(node.one, parts, at + 1)
        following: _Node[T] | None = node
        for word in part.split("."):
            # A pattern names a part with dots word by word.
            following = following.words.get(word)
            if following is None:
                return
        yield from self._walk(following, parts, at + 1)


def _is_odd(pattern: str) -> bool:
    return any("*" in word and word != "*" for word in pattern.split("."))

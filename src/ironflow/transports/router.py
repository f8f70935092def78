"""Finds what is served at a path. `{name}` takes one segment, `{name...}` as much as is left, slashes included.

Literal segments win over names, names over rests; a rest may be followed by literals (`/functions/{id...}/invoke`).
"""

import re
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

# Paths with as many equal segments at their beginning, such as `/api/v1/kv`, are searched together.
PREFIX_SEGMENTS = 3
_SEGMENT = re.compile(r"\{(\w+)(\.\.\.)?\}")


class _Shape(NamedTuple, Generic[T]):
    """A path with names. rank: the least is tried first. prefix: as of `_prefix`, None when a name is in it.

    tail: what follows its last name. slashes: how many a path of this shape has, None with a rest.
    """

    rank: tuple[int, ...]
    pattern: re.Pattern[str]
    target: T
    prefix: str | None
    tail: str
    slashes: int | None


class Router(Generic[T]):
    """Paths without names are found by dict; paths with names by prefix, then by regular expressions, best first."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], T] = {}
        self._shaped: dict[str, list[_Shape[T]]] = {}
        # (method, prefix) -> the shapes that a path with that prefix can have; the prefix is None for all other paths.
        self._by_prefix: dict[tuple[str, str | None], list[_Shape[T]]] = {}
        self._paths: list[str] = []
        # All of them in one expression, made when it is first asked for.
        self._any: re.Pattern[str] | None = None
        # What they begin with.
        self._literal_heads: tuple[str, ...] = ()

    def add(self, method: str, path: str, target: T) -> None:
        self._paths.append(path)
        self._any = None
        self._literal_heads = tuple({*self._literal_heads, path.partition("{")[0]})
        if "{" not in path:
            self._exact[method, path] = target
            return
        shapes = self._shaped.setdefault(method, [])
        slashes = None if "...}" in path else path.count("/")
        tail = path.rpartition("}")[2]
        shapes.append(_Shape(_rank(path), _compile(path), target, _prefix_of_shape(path), tail, slashes))
        shapes.sort(key=lambda shape: shape.rank)
        for prefix in {None, *(shape.prefix for shape in shapes)}:
            self._by_prefix[method, prefix] = [shape for shape in shapes if shape.prefix in (None, prefix)]

    def find(self, method: str, path: str) -> tuple[T, dict[str, str]] | None:
        """What is served there, with the values of the names in the path. path: percent-encoding undone."""
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, {}
        slashes = path.count("/")
        for shape in self._by_prefix.get((method, _prefix(path))) or self._by_prefix.get((method, None), ()):
            # Most shapes of a prefix are passed over without their expressions, which take longer.
            if shape.slashes not in (None, slashes) or not path.endswith(shape.tail):
                continue
            match = shape.pattern.fullmatch(path)
            if match is not None:
                return shape.target, match.groupdict()
        return None

    def has(self, path: str) -> bool:
        """Whether the path takes any method; asked of every request by wires that serve a few paths among many."""
        if not path.startswith(self._literal_heads):
            return False
        if self._any is None:
            # Without any path it is the expression that nothing matches.
            self._any = re.compile("|".join(_pattern(each, ":") for each in self._paths) or "(?!)", re.DOTALL)
        return self._any.fullmatch(path) is not None

    def methods_of(self, path: str) -> list[str]:
        """The methods that the path takes; empty when there is no such path."""
        methods = {method for method, exact in self._exact if exact == path}
        methods.update(
            method for method, shapes in self._shaped.items() if any(shape.pattern.fullmatch(path) for shape in shapes)
        )
        return sorted(methods)


def _prefix(path: str) -> str:
    """The first segments of a path, with their slashes."""
    return "/".join(path.split("/", PREFIX_SEGMENTS + 1)[: PREFIX_SEGMENTS + 1])


def _prefix_of_shape(path: str) -> str | None:
    prefix = _prefix(path)
    return None if "{" in prefix else prefix


def _compile(path: str) -> re.Pattern[str]:
    return re.compile(_pattern(path, "P<{name}>"), re.DOTALL)


def _pattern(path: str, group: str) -> str:
    """The path as a regular expression."""
    pattern = ""
    at = 0
    for match in _SEGMENT.finditer(path):
        pattern += re.escape(path[at : match.start()])
        pattern += f"(?{group.format(name=match[1])}{'.+' if match[2] else '[^/]+'})"
        at = match.end()
    return pattern + re.escape(path[at:])


def _rank(path: str) -> tuple[int, ...]:
    """Sorts shapes: literal segments first, then names, then rests; longer before shorter."""
    kinds = [2 if "...}" in part else 1 if "{" in part else 0 for part in path.split("/")[1:]]
    return (sum(kind == 2 for kind in kinds), -len(kinds), *kinds)

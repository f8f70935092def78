"""Name patterns: `*` is one dot-separated token, `>` (only last) the rest.

Source: protocol/connectrpc.md 7. `order.*` matches `order.placed`, not `order.item.added`; `order.>` matches both.
"""

import re
from functools import lru_cache

from ironflow.base.errors import InvalidArgument


class InvalidPattern(InvalidArgument):
    """A pattern is dot-separated words; `*` stands for one of them, `>` for all that follow and only at the end."""

    code = "INVALID_PATTERN"


def is_pattern(text: str) -> bool:
    return "*" in text or ">" in text


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression to use with `fullmatch`. Raises InvalidPattern."""
    if not pattern:
        raise InvalidPattern("The pattern is empty. Write `>` for everything.")
    tokens = pattern.split(".")
    parts: list[str] = []
    for place, token in enumerate(tokens):
        if token == ">":
            if place != len(tokens) - 1:
                raise InvalidPattern(f"In {pattern!r} the `>` is not at the end.")
            parts.append(r".+")
        elif token == "*":
            parts.append(r"[^.]+")
        else:
            parts.append(
                ".*".join(re.escape(piece) for piece in token.split("*")) if "*" in token else re.escape(token)
            )
    return re.compile(r"\.".join(parts), re.DOTALL)


def matches(pattern: str, name: str) -> bool:
    """Whether `name` is meant by `pattern`; a pattern without wildcards means just itself."""
    return name == pattern or (is_pattern(pattern) and compiled(pattern).fullmatch(name) is not None)


def literal_prefix(pattern: str) -> str:
    """What every matching name begins with: the text before the first wildcard token."""
    return re.split(r"[*>]", pattern, maxsplit=1)[0]

"""Name patterns: `*` is one dot-separated token, `>` (only last) the rest; `*` beside other characters is any text.

`order.*` matches `order.placed`, not `order.item.added`; `order.>` matches both, and so does `order*`.
Source: protocol/connectrpc.md 7; the Node SDK's documentation for the form `user-*`.
"""

import re
from functools import lru_cache

from ironflow.base.errors import InvalidArgument


class InvalidPattern(InvalidArgument):
    """A pattern is dot-separated tokens; `*` matches one token, `>` at the end matches all that follow."""

    code = "INVALID_PATTERN"


def is_pattern(text: str) -> bool:
    return "*" in text or ">" in text


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression to use with `fullmatch`. Raises InvalidPattern."""
    if not pattern:
        raise InvalidPattern("The pattern is empty. Write `>` for everything.")
    tokens = without_repeated_rest(pattern).split(".")
    # The literal text between the stars that match any text.
    pieces = [""]
    for index, token in enumerate(tokens):
        if index:
            pieces[-1] += r"\."
        if token == ">":
            if index != len(tokens) - 1:
                raise InvalidPattern(f"In {pattern!r} the `>` is not at the end.")
            pieces[-1] += ".+"
        elif token == "*":
            pieces[-1] += "[^.]+"
        else:
            first, *more = re.split(r"\*+", token)
            pieces[-1] += re.escape(first)
            pieces += map(re.escape, more)
    start, *middle = pieces
    end = ".*" + middle.pop() if middle else ""
    # The first match of a piece leaves the most for the rest, so no other is tried (atomic groups): a hostile pattern
    # of many stars takes at most its length times that of the name.
    return re.compile(start + "".join(f"(?>.*?{piece})" for piece in middle) + end, re.DOTALL)


def has_empty_token(name: str) -> bool:
    """Whether a part between the dots of a name is empty; a pattern may have no such token."""
    return ".." in name or name.startswith(".") or name.endswith(".")


def without_empty_tokens(name: str) -> str:
    """The name that is meant by one with empty tokens, for a message."""
    return ".".join(filter(None, name.split("."))) or "order.placed"


def without_repeated_rest(pattern: str) -> str:
    """The pattern with one `.>` at its end, where clients send several."""
    while pattern.endswith(".>.>"):
        pattern = pattern[:-2]
    return pattern


def matches(pattern: str, name: str) -> bool:
    """Whether `pattern` matches `name`; a pattern without wildcards matches only itself."""
    return name == pattern or (is_pattern(pattern) and compiled(pattern).fullmatch(name) is not None)


def literal_prefix(pattern: str) -> str:
    """The prefix of every matching name: the text before the first wildcard."""
    return re.split(r"[*>]", pattern, maxsplit=1)[0]

"""Name patterns: `*` is one dot-separated token, `>` (only last) the rest; `*` beside other characters is any text.

`order.*` matches `order.placed`, not `order.item.added`; `order.>` matches both, and so does `order*`.
Source: protocol/connectrpc.md 7; the Node SDK's documentation for the form `user-*`.
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
    # What stands between the stars that mean any text.
    pieces = [""]
    for place, token in enumerate(tokens):
        if place:
            pieces[-1] += r"\."
        if token == ">":
            if place != len(tokens) - 1:
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
    # The first place where a piece fits leaves the most for the rest, so it is never tried elsewhere: a hostile
    # pattern of many stars takes no longer than its length times the name's.
    return re.compile(start + "".join(f"(?>.*?{piece})" for piece in middle) + end, re.DOTALL)


def matches(pattern: str, name: str) -> bool:
    """Whether `name` is meant by `pattern`; a pattern without wildcards means just itself."""
    return name == pattern or (is_pattern(pattern) and compiled(pattern).fullmatch(name) is not None)


def literal_prefix(pattern: str) -> str:
    """What every matching name begins with: the text before the first wildcard token."""
    return re.split(r"[*>]", pattern, maxsplit=1)[0]

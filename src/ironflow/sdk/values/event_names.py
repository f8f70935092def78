"""Names and patterns of events as programs write them, checked where they are defined."""

import re

from ironflow.base.errors import InvalidArgument
from ironflow.base.pattern import compiled, has_empty_token, is_pattern, without_empty_tokens
from ironflow.features.events.contract import NAME_CHARS_MAX

_NEVER = re.compile(r"[\s\x00-\x1f\x7f]")


def check_matchable(name: str) -> None:
    """Raises InvalidArgument, InvalidPattern for a name or pattern that no event can ever have."""
    if is_pattern(name):
        compiled(name)
    if name.startswith("$"):
        raise InvalidArgument(f"{name!r} never matches: names that begin with `$` are reserved.")
    if found := _NEVER.search(name):
        hint = "Separate its parts by dots" if found[0] == " " else "Leave it out"
        better = re.sub(r"[\s\x00-\x1f\x7f]+", ".", name.strip())
        raise InvalidArgument(
            f"{name!r} never matches: no event's name contains {found[0]!r}. {hint}, as in {better!r}."
        )
    if has_empty_token(name):
        raise InvalidArgument(
            f"{name!r} never matches: no event's name has an empty part. Write {without_empty_tokens(name)!r}."
        )
    if len(name) > NAME_CHARS_MAX:
        raise InvalidArgument(f"{name[:60]!r}… never matches: no event's name has over {NAME_CHARS_MAX} characters.")

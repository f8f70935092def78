"""Lists page by page: numeric cursors, and requests of lists that older clients read as bare arrays."""

from typing import Annotated

from ironflow.base.errors import InvalidArgument
from ironflow.base.fields import Message, field

# What the databases can store.
_DIGITS_MAX = 18


def number_of(cursor: str, default: int = 0) -> int:
    """The number that a cursor stands for, `default` for an empty one. Raises InvalidArgument."""
    if not cursor:
        return default
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > _DIGITS_MAX:
        raise InvalidArgument(f"{cursor[:40]!r} is not a cursor of this list. Pass next_cursor as it was given.")
    return int(cursor)


class PagedList(Message, kw_only=True):
    """Asks for one page. cursor: `next_cursor` of the page before, empty for the first.

    paged: answer an object with the items and `next_cursor`, instead of a bare array; see `Options.alone`.
    """

    limit: Annotated[int, field(ge=1, le=10_000)] = 10_000
    cursor: str = ""
    paged: bool = False

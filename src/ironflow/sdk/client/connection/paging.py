"""How lists are read page by page: what asks for the next page, and what a page of a list is."""

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from msgspec.structs import replace

from ironflow.base.errors import InvalidArgument

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Page(Generic[ItemT]):
    """A page of a list. next_cursor: what `page(cursor=)` goes on with; None for the last one.

    total_count: of the whole list, where the server counts it.
    """

    items: list[ItemT]
    next_cursor: str | None = None
    total_count: int | None = None


class Paging(Protocol):
    """The way in which one operation pages."""

    def request(self, request: Any, limit: int | None, cursor: str) -> Any:
        """`request` for one page. limit: None for the one it has; cursor: empty for the first page."""
        ...

    def next_cursor(self, request: Any, answer: Any) -> str | None:
        """What the next page begins with; None at the end."""
        ...


class ByCursor:
    """The answer has a `next_cursor`, as most do."""

    def request(self, request: Any, limit: int | None, cursor: str) -> Any:
        return replace(request, cursor=cursor, **({} if limit is None else {"limit": limit}))

    def next_cursor(self, request: Any, answer: Any) -> str | None:
        return answer.next_cursor or None


class ByOffset:
    """A page begins after so many items of `field`; `total_count` says when there are no more."""

    def __init__(self, field: str) -> None:
        self._field = field

    def request(self, request: Any, limit: int | None, cursor: str) -> Any:
        return replace(request, offset=_number(cursor, 0), **({} if limit is None else {"limit": limit}))

    def next_cursor(self, request: Any, answer: Any) -> str | None:
        count = len(getattr(answer, self._field))
        after = request.offset + count
        return str(after) if count and after < answer.total_count else None


class ByVersion:
    """A page begins at a version, in `begin` of the request; `field` of the answer is the next one's."""

    def __init__(self, field: str, begin: str = "from_version") -> None:
        self._field, self._begin = field, begin

    def request(self, request: Any, limit: int | None, cursor: str) -> Any:
        changes = {} if limit is None else {"limit": limit}
        return replace(request, **{self._begin: _number(cursor, getattr(request, self._begin)), **changes})

    def next_cursor(self, request: Any, answer: Any) -> str | None:
        version = getattr(answer, self._field)
        return None if version is None else str(version)


BY_CURSOR = ByCursor()


def _number(cursor: str, otherwise: int) -> int:
    if not cursor:
        return otherwise
    if not cursor.isdecimal():
        raise InvalidArgument(f"{cursor!r} is no cursor of this list. Use the next_cursor of a page, unchanged.")
    return int(cursor)


def total_count_of(answer: Any) -> int | None:
    """What the answer says of the whole list; None where it says nothing."""
    return getattr(answer, "total_count", None)

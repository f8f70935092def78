# Generated from ironflow/sdk/client/connection/listing.py by generate_sync; edit that file.
"""Lists: iterators over all items, and pages of them."""

from collections.abc import Generator, Iterator, Callable, Sequence
from typing import Any, Generic, NoReturn

from ironflow.base.duration import Duration
from ironflow.base.operation import Operation
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client.connection.paging import BY_CURSOR, ItemT, Page, Paging, total_count_of


class Listing(Iterator[ItemT], Generic[ItemT]):
    """All items of a list, one after the other; the next page is asked for when it is needed.

        for run in client.runs.list(status="failed"): ...
        page = client.runs.list(status="failed").page(limit=25)

    It is exhausted after one loop, like other iterators; `page` makes a request each time.
    """

    def __init__(
        self,
        calls: Calls,
        operation: Operation[Any, Any],
        request: Any,
        items: Callable[[Any], Sequence[ItemT]],
        paging: Paging = BY_CURSOR,
        timeout: Duration | None = None,
    ) -> None:
        """request: of the first page. items: of an answer."""
        self._calls, self._operation, self._request, self._items = calls, operation, request, items
        self._paging, self._timeout = paging, timeout
        self._method = calls.method()
        self._rest: Generator[ItemT, None] | None = None

    def __await__(self) -> NoReturn:
        raise TypeError(
            "A list is not awaited: it may have more items than one answer. Loop over it for all of them, with "
            "`async for` where the client is async, or take `.page(limit=25)`."
        )

    def __iter__(self) -> Iterator[ItemT]:
        return self

    def __next__(self) -> ItemT:
        if self._rest is None:
            self._rest = self._all()
        return next(self._rest)

    def close(self) -> None:
        """Ends the iteration."""
        if self._rest is not None:
            self._rest.close()

    def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[ItemT]:
        """One page. limit: None for the list's page_size. cursor: None for the first, else the `next_cursor` of one.

        Raises what iterating raises, and InvalidArgument for what is no cursor.
        """
        return self._page(self._paging.request(self._request, limit, cursor or ""))

    def _page(self, request: Any) -> Page[ItemT]:
        answer = self._calls.call(self._operation, request, timeout=self._timeout, method=self._method)
        next_cursor = self._paging.next_cursor(request, answer)
        return Page([*self._items(answer)], next_cursor, total_count_of(answer))

    def _all(self) -> Generator[ItemT, None]:
        request = self._request
        while True:
            page = self._page(request)
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            request = self._paging.request(self._request, None, page.next_cursor)

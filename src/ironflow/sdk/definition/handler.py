"""`handler`: a function whose id comes from its event, as the documents of the Go SDK make it."""

import re
from collections.abc import Mapping
from typing import Any

from ironflow.sdk.definition.controls import Concurrency, Retry
from ironflow.sdk.definition.function import Define, function

_NO_ID = re.compile(r"[^A-Za-z0-9_-]+")
_WILDCARDS = {"*": "any", ">": "all"}


def handler(
    event: str,
    *,
    id: str | None = None,
    filter: str = "",
    retry: Retry | Mapping[str, Any] | None = None,
    concurrency: Concurrency | Mapping[str, Any] | None = None,
    **settings: Any,
) -> Define:
    """Makes a durable function of a handler of one event.

        @handler("order.placed")            # its id is order-placed-handler
        async def on_order(ctx, order: Order):
            ...

    id: None for that of the event. filter: CEL over the event. settings: others of `function`.
    Raises InvalidFunction.
    """
    return function(
        handler_id(event) if id is None else id,
        on=event,
        when=filter,
        retry=retry,
        concurrency=concurrency,
        **settings,
    )


def handler_id(event: str) -> str:
    """The id of a handler of `event`: `order-placed-handler` of `order.placed`, `order-any-handler` of `order.*`."""
    parts = (_NO_ID.sub("-", _WILDCARDS.get(part, part)).strip("-") for part in event.split("."))
    return "-".join([*filter(None, parts), "handler"])

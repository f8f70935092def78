"""`ironflow subscribe`: live events, one line each."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from ironflow.base.errors import IronflowError
from ironflow.base.json import write_json
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.terminal.output import json_line
from ironflow.cli.terminal.times import time_text
from ironflow.sdk.client.client import Client
from ironflow.sdk.client.connection.subscription import SubscriptionEventFields

app = App("subscribe")

LINE_CHARS_MAX = 400
# Events of several patterns: those that wait to be written, and those known, so that none is written twice.
_WAITING_MAX = 1_000
_SEEN_MAX = 10_000


@app.default
def subscribe(
    pattern: str,
    /,
    *more: str,
    replay: Annotated[int, Parameter(alias="-n")] = 0,
    after: int | None = None,
    filter: str = "",
    namespace: str = "",
    metadata: Annotated[bool, Parameter(negative="")] = False,
    count: Annotated[int, Parameter(alias="-c")] = 0,
    cli: Injected,
) -> None:
    """Show events as they happen, until Ctrl-C. It reconnects and continues without gaps in recorded events.

    Args:
        pattern: Such as "order.*", "topic:mail", "entity:cart.7.>" or "system.run.>", quoted.
        more: More patterns.
        replay: Show the last n events of each pattern first, at most 1000.
        after: Show all events after this sequence first; 0 for all.
        filter: CEL over data, topic, name and timestamp, such as data.total > 100.
        namespace: Namespace of the events.
        metadata: Show the metadata of each event too; --json always does.
        count: End after this many events; 0 for never.
    """
    follow(
        cli,
        [pattern, *more],
        replay=replay,
        after=after,
        filter=filter,
        namespace=namespace,
        metadata=metadata,
        count=count,
    )


def follow(
    cli: Cli,
    patterns: Sequence[str],
    *,
    replay: int,
    after: int | None = None,
    filter: str = "",
    namespace: str = "",
    metadata: bool,
    count: int,
) -> None:
    """Writes the events of all patterns, one that matches several of them once."""

    def report_reconnect(fault: IronflowError) -> None:
        cli.note(f"{fault.message} Reconnecting.", style="yellow")

    options = {"replay": replay, "after": after, "filter": filter, "namespace": namespace, "on_error": report_reconnect}
    if len(patterns) > 1:
        asyncio.run(_follow_many(cli, patterns, options, metadata, count))
        return
    with cli.client.subscribe(patterns[0], **options) as events:
        for shown, event in enumerate(events, 1):
            show_event(cli, event, metadata)
            if shown == count:
                return


async def _follow_many(cli: Cli, patterns: Sequence[str], options: dict[str, Any], metadata: bool, count: int) -> None:
    """As `follow`, with a subscription for each pattern. Raises the first error of one."""
    arrived: asyncio.Queue[SubscriptionEventFields] = asyncio.Queue(_WAITING_MAX)

    async def read(client: Client, pattern: str) -> None:
        async with client.subscribe(pattern, **options) as events:
            async for event in events:
                await arrived.put(event)

    async def write() -> None:
        seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        shown = 0
        while not count or shown < count:
            event = await arrived.get()
            key = (event.id, event.topic)
            if key in seen:
                continue
            seen[key] = None
            if len(seen) > _SEEN_MAX:
                seen.popitem(last=False)
            show_event(cli, event, metadata)
            shown += 1

    async with Client(cli.url, api_key=cli.key, environment=cli.environment) as client:
        writing = asyncio.create_task(write())
        tasks = [writing, *(asyncio.create_task(read(client, each)) for each in dict.fromkeys(patterns))]
        try:
            waiting = set(tasks)
            while waiting and not writing.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def show_event(cli: Cli, event: SubscriptionEventFields, metadata: bool) -> None:
    """Writes one event: a line, or its JSON."""
    if cli.json:
        cli.write(write_json(_as_json(event)) + b"\n")
        return
    line = Text(time_text(event.timestamp), style="dim")
    line.append(f"  {event.topic}  ", style="cyan")
    line.append(json_line(msgspec.Raw(write_json(event.data)), LINE_CHARS_MAX), style="default")
    if metadata and event.metadata:
        line.append(f"  {json_line(msgspec.Raw(write_json(event.metadata)), LINE_CHARS_MAX)}", style="dim")
    cli.out.print(line)


def _as_json(event: SubscriptionEventFields) -> dict[str, Any]:
    metadata = {} if event.metadata is None else {"metadata": event.metadata}
    return {
        "event_id": event.id,
        "topic": event.topic,
        "data": event.data,
        "timestamp": event.timestamp,
        "sequence": event.sequence,
        "source": event.source,
        "namespace": event.namespace,
        **metadata,
    }

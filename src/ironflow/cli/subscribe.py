"""`ironflow subscribe`: what happens, as it happens, one line for each event."""

from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from ironflow.base.errors import IronflowError
from ironflow.base.json import write_json
from ironflow.cli.invocation import Cli, Here
from ironflow.cli.output import json_line
from ironflow.cli.times import time_text
from ironflow.sdk.blocking_subscription import Received

app = App("subscribe")

LINE_CHARS_MAX = 400


@app.default
def subscribe(
    pattern: str,
    /,
    *,
    replay: Annotated[int, Parameter(alias="-n")] = 0,
    after: int | None = None,
    filter: str = "",
    namespace: str = "",
    count: Annotated[int, Parameter(alias="-c")] = 0,
    cli: Here,
) -> None:
    """Show events as they happen, until Ctrl-C. It connects again by itself and misses nothing that is kept.

    Args:
        pattern: Such as "order.*", "topic:mail", "entity:cart.7.>" or "system.run.>". Quote it for your shell.
        replay: The last n events first, 1000 at most.
        after: All events after this sequence first; 0 for all there are.
        filter: Only events for which this is true, in CEL over data, topic, name and timestamp: data.total > 100.
        namespace: Events of this namespace instead of the default one.
        count: End after so many events; 0 for never.
    """

    def tell(fault: IronflowError) -> None:
        cli.say(f"{fault.message} Connecting again.", style="yellow")

    shown = 0
    with cli.client.subscribe(
        pattern, replay=replay, after=after, filter=filter, namespace=namespace, on_error=tell
    ) as events:
        for event in events:
            _show(cli, event)
            shown += 1
            if shown == count:
                return


def _show(cli: Cli, event: Received) -> None:
    if cli.json:
        cli.write(write_json(_told(event)) + b"\n")
        return
    line = Text(time_text(event.timestamp), style="dim")
    line.append(f"  {event.topic}  ", style="cyan")
    line.append(json_line(msgspec.Raw(write_json(event.data)), LINE_CHARS_MAX), style="default")
    cli.out.print(line)


def _told(event: Received) -> dict[str, Any]:
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

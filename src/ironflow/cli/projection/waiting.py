"""`ironflow projection wait-for-event`, `wait-batch`, `wait --stream` and `watch`."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.text import Text

from ironflow.base.duration import duration_ms
from ironflow.base.json import write_json
from ironflow.base.time import to_datetime
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.terminal.output import json_line, table
from ironflow.cli.terminal.payload import read_bytes
from ironflow.cli.terminal.times import time_text
from ironflow.features.projections import contract as projections
from ironflow.features.projections.contract import Envelope, StateRow, WaitItem

# The server answers at its deadline; the client allows this much time for the response to arrive.
_SLACK_S = 10.0
# One step of `wait --stream`.
_STEP_MS = 1_000


def wait_for_event(
    event: str,
    /,
    *,
    projection: str,
    partition: str = "",
    timeout: str = "30s",
    cli: Injected,
) -> Exit:
    """Wait until a projection has processed an event; exit code 75 when the timeout passes first.

    Args:
        event: The event's id.
        projection: The projection's name.
        partition: Only in this partition.
        timeout: Maximum wait, at most 60s.
    """
    span = to_datetime(duration_ms(timeout)) - to_datetime(0)
    asked = projections.WaitForEvent(event_id=event, projection=projection, partition=partition, timeout=span)
    answer = cli.call(projections.wait_for_event, asked, timeout=span.total_seconds() + _SLACK_S)
    progress = "has processed" if answer.caught_up else f"is {answer.behind_by_events} events before"
    cli.show(answer, lambda: f"{projection} {progress} {event}")
    return Exit.OK if answer.caught_up else Exit.TRY_AGAIN


def wait_batch(
    *, file: Annotated[str, Parameter(allow_leading_hyphen=True)], timeout: str = "30s", cli: Injected
) -> Exit:
    """Wait until several projections have caught up; exit code 75 when one has not in time.

    Args:
        file: A JSON list of objects with name, min_seq and partition, or an object with them as items; - for
            standard input.
        timeout: Maximum wait for all, at most 60s.
    """
    text = read_bytes("-" if file == "-" else f"@{file}", cli.stdin)
    span = to_datetime(duration_ms(timeout)) - to_datetime(0)
    asked = projections.WaitBatch(items=_items(text), timeout=span)
    answer = cli.call(projections.wait_batch, asked, timeout=span.total_seconds() + _SLACK_S)
    rows = [
        [item.name, _outcome(each), str(each.result.current_seq) if each.result else ""]
        for item, each in zip(asked.items, answer.results, strict=True)
    ]
    cli.show(answer, lambda: table(["PROJECTION", "STATUS", "AT"], rows, right=["AT"]))
    if any(each.error for each in answer.results):
        return Exit.FAILED
    return Exit.OK if all(each.result and each.result.caught_up for each in answer.results) else Exit.TRY_AGAIN


def wait_stream(cli: Cli, name: str, seq: int, partition: str, timeout: str) -> Exit:
    """As `wait`, with the progress on standard error after each second."""
    left_ms = duration_ms(timeout)
    while True:
        step = min(left_ms, _STEP_MS)
        span = to_datetime(step) - to_datetime(0)
        asked = projections.Wait(name=name, min_seq=seq, partition=partition, timeout=span)
        answer = cli.call(projections.wait, asked, timeout=span.total_seconds() + _SLACK_S)
        # The end of the log as it was at the beginning, not at each step.
        seq = answer.target_seq
        left_ms -= step
        if answer.caught_up or left_ms <= 0:
            break
        cli.note(f"{name} is at {answer.current_seq}, {answer.behind_by_events} events behind {seq}", "dim")
    progress = "caught up with" if answer.caught_up else f"{answer.behind_by_events} events behind"
    cli.show(answer, lambda: f"{name} is {progress} {answer.target_seq}")
    return Exit.OK if answer.caught_up else Exit.TRY_AGAIN


def watch(
    name: str,
    /,
    *,
    partition: str = "",
    replay: int = 0,
    count: Annotated[int, Parameter(alias="-c")] = 0,
    cli: Injected,
) -> None:
    """Show changes of a projection's state as they happen, until interrupted.

    Args:
        name: The projection's name.
        partition: Only of this partition.
        replay: Above 0, show the current state first. Older changes are not kept.
        count: End after this many changes; 0 for never.
    """
    pattern = f"system.projection.{name}.{partition or '*'}.updated"
    current = cli.call(projections.envelope, projections.GetProjection(name=name, partition=partition))
    if reason := without_state(current):
        raise UsageError(reason)
    shown = 0
    if replay and current.state is not None:
        _show_current(cli, name, current.state)
        shown += 1
    with cli.client.subscribe(pattern) as changes:
        for change in changes if not count or shown < count else ():
            _show(cli, change.topic, change.timestamp, change.data)
            shown += 1
            if shown == count:
                return


def without_state(found: Envelope) -> str:
    """Why the server never has a state of this projection; empty where it has one or is given one."""
    if found.type == "sql":
        query = f"ironflow sql-projection query {found.name}"
        return f"{found.name} is a SQL projection: its state is in its tables. Read them with: {query}"
    if found.mode == "external":
        return f"{found.name} is external: its runner keeps the state elsewhere. See ironflow projection status."
    return ""


def _show_current(cli: Cli, name: str, kept: StateRow) -> None:
    topic = f"system.projection.{name}.{kept.partition_key}.updated"
    _show(cli, topic, kept.updated_at, {"state": msgspec.Raw(bytes(kept.state)), "last_event_id": kept.last_event_id})


def _show(cli: Cli, topic: str, at: datetime | None, data: Any) -> None:
    if cli.json:
        cli.write(write_json({"topic": topic, "timestamp": at, "data": data}) + b"\n")
        return
    line = Text(time_text(at), style="dim")
    line.append(f"  {topic.split('.')[-2]}  ", style="cyan")
    line.append(json_line(msgspec.Raw(write_json(data)), 400), style="default")
    cli.out.print(line)


def _items(text: bytes) -> list[WaitItem]:
    try:
        document = msgspec.json.decode(text)
        found = document["items"] if isinstance(document, dict) else document
        return [WaitItem(name=each["name"], min_seq=_seq(each), partition=each.get("partition", "")) for each in found]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError):
        raise UsageError('the file should be a JSON list such as [{"name": "orders", "min_seq": 42}].') from None


def _seq(item: dict[str, Any]) -> int:
    return int(item.get("min_seq") or item.get("minSeq") or 0)


def _outcome(each: projections.ItemWaited) -> str:
    if each.result is None:
        return each.error or ""
    return "caught up" if each.result.caught_up else f"{each.result.behind_by_events} events behind"

"""`ironflow event trigger`: batch after batch of recorded events, with progress."""

import threading

from msgspec.structs import replace

from ironflow.cli.invocation import Cli
from ironflow.cli.terminal.output import facts
from ironflow.features.event_triggers import contract
from ironflow.features.event_triggers.contract import TriggerRecorded
from ironflow.sdk.client.features.events import BATCH, Triggered, add_batch

_WAIT_S = 0.5


def run(cli: Cli, request: TriggerRecorded, limit: int) -> None:
    """limit: runs to start at most, 0 for all."""
    total = Triggered(next_cursor=request.cursor or None)
    pause = threading.Event()
    while not limit or request.dry_run or total.started < limit:
        most = min(BATCH, limit - total.started) if limit and not request.dry_run else BATCH
        answer = cli.call(contract.trigger, replace(request, limit=most, cursor=total.next_cursor or ""))
        add_batch(total, answer)
        request = replace(request, until=answer.until)
        if answer.next_cursor is None:
            break
        cli.note(_progress(total, request), "dim")
        if answer.waiting:
            with cli.waiting(f"{request.in_flight} runs have not ended"):
                pause.wait(_WAIT_S)
    cli.show(total, lambda: facts(_lines(total, request.dry_run)))
    if total.refused:
        cli.note("A refused event has the key of a run that has not ended. Run the same command again later.", "dim")
    if total.next_cursor is not None:
        cli.note(f"There are more events: --cursor {total.next_cursor}", "dim")


def _progress(total: Triggered, request: TriggerRecorded) -> str:
    counted = "to start" if request.dry_run else "started"
    return f"{total.started} runs {counted}, {total.known} events known, up to position {total.next_cursor}"


def _lines(total: Triggered, dry_run: bool) -> list[tuple[str, str | None]]:
    others = [("known", total.known), ("unmatched", total.unmatched), ("refused", total.refused)]
    others.append(("redacted", total.redacted))
    return [("would start" if dry_run else "started", str(total.started))] + [
        (name, str(count) if count else None) for name, count in others
    ]

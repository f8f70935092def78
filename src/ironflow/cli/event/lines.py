"""Events as JSON lines: `ironflow event export` and `import`. Both can continue after an interruption."""

import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from ironflow.base.errors import IronflowError
from ironflow.base.json import InvalidJson, Json, read_json
from ironflow.base.spelling import message_to_json
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli
from ironflow.features.events import contract as events
from ironflow.features.events.contract import Event, ImportRefused

PAGE = 1_000
LINE_BYTES_MAX = 64 * 1024 * 1024
# Below the server's limit for one body, with space for the JSON around the events.
BATCH_BYTES_MAX = 16 * 1024 * 1024


def pages_forward(cli: Cli, request: events.ListEvents) -> Iterator[tuple[list[Event], str]]:
    """Pages of events from `request.before` to the newest, oldest first, each with the position to continue from."""
    while True:
        answer = cli.call(events.list_, request)
        position = answer.prev_cursor or request.before
        yield answer.events[::-1], position
        if not answer.has_prev:
            return
        request = msgspec.structs.replace(request, before=position)


def export(cli: Cli, request: events.ListEvents, file: str | None, resume: bool) -> None:
    """Writes events as lines to a file; None: standard output. resume: continue after the last complete line."""
    if file is None:
        _write(cli, request, sys.stdout.buffer, "standard output")
        return
    try:
        with Path(file).open("r+b" if resume and Path(file).exists() else "wb" if resume else "xb") as out:
            if resume:
                position = _last_position(out, file)
                request = msgspec.structs.replace(request, before=max(request.before, str(position), key=int))
            _write(cli, request, out, file)
            out.flush()
            os.fsync(out.fileno())
    except FileExistsError:
        raise UsageError(
            f"{file} already exists. Add --resume to continue after its last line, or name another file."
        ) from None
    except OSError as fault:
        raise UsageError(f"cannot write {file!r}: {(fault.strerror or str(fault)).lower()}.") from None


def _write(cli: Cli, request: events.ListEvents, out: BinaryIO, where: str) -> None:
    written = 0
    for page, position in pages_forward(cli, request):
        out.write(b"".join(message_to_json(event) + b"\n" for event in page))
        out.flush()
        written += len(page)
        if written and len(page) == PAGE:
            cli.note(f"{written} events, up to position {position}", "dim")
    cli.note(f"wrote {written} {'event' if written == 1 else 'events'} to {where}", "dim")


class _Positioned(msgspec.Struct):
    position: int


def _last_position(file: BinaryIO, name: str) -> int:
    """The position in the last complete line; the rest is truncated. 0 for an empty file. Raises UsageError."""
    end = file.seek(0, io.SEEK_END)
    tail = b""
    while end:
        start = max(0, end - 64 * 1024)
        file.seek(start)
        tail = file.read(end - start) + tail
        end = start
        whole, newline, _ = tail.rpartition(b"\n")
        last = whole.rpartition(b"\n")[2]
        if newline and (b"\n" in whole or end == 0):
            file.seek(end + len(whole) + 1)
            file.truncate()
            try:
                return msgspec.json.decode(last, type=_Positioned).position
            except msgspec.MsgspecError:
                raise UsageError(f"the last line of {name} was not written by `ironflow event export`.") from None
    file.seek(0)
    file.truncate()
    return 0


@dataclass
class Tally:
    """Counts of an import. lines: read so far."""

    lines: int = 0
    imported: int = 0
    known: int = 0
    runs: int = 0


def import_lines(cli: Cli, source: BinaryIO, trigger: bool, batch: int) -> Tally:
    """Sends lines in batches, each in one transaction. Raises UsageError naming the line that cannot be imported."""
    tally = Tally()
    held: list[tuple[int, Json]] = []
    size = 0
    while line := source.readline(LINE_BYTES_MAX + 1):
        tally.lines += 1
        if not line.strip():
            continue
        held.append((tally.lines, _event(tally, line)))
        size += len(line)
        if len(held) == batch or size > BATCH_BYTES_MAX:
            _send(cli, tally, held, trigger)
            held, size = [], 0
            cli.note(f"line {tally.lines}: {tally.imported} imported, {tally.known} known", "dim")
    if held:
        _send(cli, tally, held, trigger)
    return tally


def _event(tally: Tally, line: bytes) -> Json:
    if len(line) > LINE_BYTES_MAX:
        raise _stopped(tally, tally.lines, f"it is longer than {LINE_BYTES_MAX} bytes")
    try:
        value = read_json(line)
    except InvalidJson as fault:
        raise _stopped(tally, tally.lines, f"it is not JSON: {fault.message}") from None
    if not isinstance(value, dict):
        raise _stopped(tally, tally.lines, "it is not a JSON object")
    return Json(line.strip())


def _send(cli: Cli, tally: Tally, held: list[tuple[int, Json]], trigger: bool) -> None:
    request = events.ImportEvents(events=[event for _, event in held], trigger=trigger)
    try:
        answer = cli.call(events.import_, request)
    except ImportRefused as refusal:
        index = refusal.details.get("index", 0)
        raise _stopped(tally, held[index][0], refusal.details.get("reason", refusal.message)) from None
    except IronflowError:
        cli.note(f"{tally.imported} events were imported; run the same command again to continue.", "dim")
        raise
    tally.imported += answer.imported
    tally.known += answer.known
    tally.runs += len(answer.run_ids)


def _stopped(tally: Tally, line: int, reason: str) -> UsageError:
    return UsageError(
        f"line {line} cannot be imported: {reason.rstrip('.')}. {tally.imported} events before it were imported. "
        "Correct the line and run the same command again: known events are skipped."
    )

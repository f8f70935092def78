"""What really happened, recorded outside of Ironflow: one file to which every process appends whole lines.

A line written before a `kill -9` survives it.
"""

import os
import time
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal["taken", "started", "finished", "applied", "refused"]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line.

    taken: a worker was handed execution `execution` of the run, with the names of the steps in its memo.
    started, finished: a step's body; value: what it returned.
    applied, refused: the server's answer to a report; steps: names of the completed steps in it, report: its status
    (progress, completed, failed, yielded), code: why it was refused.
    """

    kind: Kind
    run: str
    execution: int
    steps: tuple[str, ...] = ()
    value: str = ""
    report: str = ""
    code: str = ""
    pid: int = 0
    at: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class Journal:
    """The file, for writing and reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(
        self,
        kind: Kind,
        run: str,
        execution: int,
        *,
        steps: tuple[str, ...] = (),
        value: str = "",
        report: str = "",
        code: str = "",
    ) -> None:
        entry = Entry(
            kind=kind,
            run=run,
            execution=execution,
            steps=steps,
            value=value,
            report=report,
            code=code,
            pid=os.getpid(),
            at=time.time_ns() // 1_000_000,
        )
        # One write of one line to a file opened for appending: lines of several processes never mix.
        os.write(self._file, _encode(entry) + b"\n")

    def read(self) -> list[Entry]:
        """All lines so far, in the order in which they were written."""
        return [_decode(line) for line in self.path.read_bytes().splitlines()]

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def close(self) -> None:
        os.close(self._file)

"""A disk that a test can watch and fill: every file that SQLite opens goes through it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

NAME = "watched-disk"


class Disk(apsw.VFS):
    """full: writes fail as on a disk without space. events: `write` and `sync` of the log file, in order."""

    def __init__(self, below: str) -> None:
        self.full = False
        self.events: list[str] = []
        self.below = below
        super().__init__(NAME, base=below, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 (SQLite's name)
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        super().__init__(disk.below, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self._disk.full:
            raise apsw.FullError("the disk is full")
        if self._is_log:
            self._disk.events.append("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        if self._is_log:
            self._disk.events.append("sync")


@contextmanager
def watched_disk() -> Iterator[Disk]:
    """The disk that databases opened from here on are on."""
    usual = apsw.vfs_names()[0]
    disk = Disk(usual)
    try:
        yield disk
    finally:
        apsw.set_default_vfs(usual)
        disk.unregister()

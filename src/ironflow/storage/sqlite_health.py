"""What is known of a SQLite file's health: a damaged one is written no more, a full disk is remembered."""

import logging
import os
from pathlib import Path

import apsw

from ironflow.storage.port import DatabaseDamaged

logger = logging.getLogger(__name__)

_DAMAGE = (apsw.CorruptError, apsw.NotADBError)
# (device, inode).
_Identity = tuple[int, int]


class FilesReplaced(apsw.CorruptError):
    """The database file or its log was deleted or replaced while it is open."""


def is_damage(fault: BaseException | None) -> bool:
    return isinstance(fault, _DAMAGE)


class SqliteHealth:
    """Used by the event loop and by the thread that commits, never both at a time.

    lock_fd: a descriptor of the database file.
    """

    def __init__(self, path: Path, lock_fd: int) -> None:
        # SQLite puts the log beside the file itself, not beside a link to it.
        self._path = path.resolve()
        self._log_path = self._path.with_name(self._path.name + "-wal")
        self._file = _identity_of(os.fstat(lock_fd))
        self._log: _Identity | None = None
        self._damage: str | None = None
        self._fault: str | None = None

    def check(self) -> None:
        """Raises DatabaseDamaged."""
        if self._damage is not None:
            raise self.damage() or DatabaseDamaged()

    def damage(self) -> DatabaseDamaged | None:
        """The error for those who want to write; None while the file is whole."""
        if self._damage is None:
            return None
        return DatabaseDamaged(
            f"The database is damaged ({self._damage}), so that nothing is written any more. "
            f"Stop the server and restore {self._path.name} from a backup."
        )

    def check_files(self) -> None:
        """Before a commit: what is written to a deleted file would be lost. Raises FilesReplaced."""
        log = _identity_at(self._log_path)
        if self._log is None:
            self._log = log
        if log is None or log != self._log:
            raise FilesReplaced(f"{self._log_path.name} was deleted or replaced while the server runs")
        if _identity_at(self._path) != self._file:
            raise FilesReplaced(f"{self._path.name} was deleted or replaced while the server runs")

    def note(self, fault: BaseException | None) -> None:
        """Takes note of an error of the database."""
        if is_damage(fault):
            if self._damage is None:
                self._damage = str(fault)
                logger.critical("database damaged", extra={"error": str(fault), "file": str(self._path)})
        elif isinstance(fault, apsw.Error):
            self._fault = str(fault)

    def written(self) -> None:
        """A commit has succeeded."""
        self._fault = None

    def issue(self) -> str | None:
        """Why nothing can be written, or could not when it was last tried."""
        damage = self.damage()
        if damage is not None:
            return damage.message
        if self._log is not None:
            try:
                self.check_files()
            except FilesReplaced as fault:
                self.note(fault)
                return self.issue()
        return self._fault


def _identity_of(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _identity_at(path: Path) -> _Identity | None:
    try:
        return _identity_of(os.stat(path))
    except OSError:
        return None

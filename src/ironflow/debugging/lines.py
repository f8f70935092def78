"""Lines of the user's program, as steps record them: `/app/orders.py:42`; pure."""

import re
from dataclasses import dataclass
from posixpath import normpath

_DRIVE = re.compile(r"[A-Za-z]:/")


@dataclass(frozen=True, slots=True)
class Line:
    """path: of the file as its worker saw it. number: from 1."""

    path: str
    number: int

    @property
    def file_name(self) -> str:
        """The last part of the path, of either kind of separator."""
        return self.path.replace("\\", "/").rpartition("/")[2]

    @property
    def short(self) -> str:
        """For a narrow place: `orders.py:42`."""
        return f"{self.file_name}:{self.number}"


def line_of(source: str | None) -> Line | None:
    """The line that a step's `source` names; None where it names none."""
    path, _, number = (source or "").rpartition(":")
    if not path or not (number.isascii() and number.isdigit()) or len(number) > 9 or int(number) < 1:
        return None
    return Line(path, int(number))


def file_key(path: str) -> str:
    """The same text for all spellings of one file: of separators, and of the case of a Windows path."""
    plain = normpath(path.replace("\\", "/"))
    return plain.lower() if _DRIVE.match(plain) else plain

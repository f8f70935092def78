"""Sizes as text: `512 B`, `64 KiB`, `1.5 MiB`."""

import re

from ironflow.cli.exits import UsageError

_UNITS = {"": 1, "b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2, "gb": 1000**3, "gib": 1024**3}
_GRAMMAR = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def read_size(given: str) -> int:
    """Bytes in `given`, such as `500`, `64KiB` or `1.5 MB`. Raises UsageError."""
    match = _GRAMMAR.fullmatch(given.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise UsageError(f"{given!r} is not a size. Write bytes, or a number with KiB, MiB or GiB.")
    return round(float(match[1]) * _UNITS[match[2]])


def size_text(size_bytes: int) -> str:
    """`size_bytes` in the largest binary unit that gives at least 1."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{size_bytes} B"

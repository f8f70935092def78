"""How lines are asked for; pure."""

import re

from ironflow.features.log_lines.in_tx import LEVELS, Place
from ironflow.features.run_logs.contract import InvalidLogQuery


def level_name(weight: int) -> str:
    return next((name for name, each in LEVELS.items() if each >= weight), "error")


def level_weight(level: str) -> int:
    """The weight of a level, 0 for an empty one. Raises InvalidLogQuery."""
    if level and level not in LEVELS:
        raise InvalidLogQuery(f"level is {level[:40]!r}; it is debug, info, warn or error.")
    return LEVELS[level] if level else 0


def cursor_of(place: Place) -> str:
    return f"{place.execution_seq}.{place.number}"


def place_of(cursor: str) -> Place:
    """The place that a cursor stands for, before every line for an empty one. Raises InvalidLogQuery."""
    if not cursor:
        return Place(0, -1)
    execution_seq, _, number = cursor.partition(".")
    # At most 18 digits, so that both fit into 64 bits.
    if not re.fullmatch(r"[0-9]{1,18}\.-?[0-9]{1,18}", cursor):
        raise InvalidLogQuery(f"{cursor[:40]!r} is no cursor: give the one of an answer, or none.")
    return Place(int(execution_seq), int(number))

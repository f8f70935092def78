"""Schemas made ready to check data with. Nothing is fetched, and no pattern takes longer than its length times the
data's.

Compiled ones are kept by the digest of their text: what is kept can never be out of date.
"""

import threading
from collections import OrderedDict
from itertools import islice
from typing import Any

import jsonschema_rs

from ironflow.base.json import depth, read_json
from ironflow.features.schemas.contract import InvalidSchema
from ironflow.features.schemas.effort import Effort
from ironflow.features.schemas.rules import Violation, check_schema_text, digest_of

PATTERN_BYTES_MAX = 1024 * 1024
# Evaluations that data may cost where the schema branches into itself: a tenth of a second.
WORK_MAX = 2_000_000
# To say what is wrong costs a thousand times as much: the validator gathers every branch's reasons.
WORK_EXPLAINED_MAX = 2_000
VIOLATIONS_MAX = 3
REASON_CHARS_MAX = 300
KEPT_MAX = 2_000
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES_MAX, dfa_size_limit=PATTERN_BYTES_MAX)


class Compiled:
    """One schema. Data that goes deeper than a branching recursion can be checked is a violation of its own."""

    def __init__(self, schema: Any) -> None:
        """Raises InvalidSchema naming the place of the fault."""
        effort = Effort(schema)
        self._depth_max = effort.depth_max(WORK_MAX)
        self._depth_explained = effort.depth_max(WORK_EXPLAINED_MAX)
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                schema,
                # A backtracking engine can be kept busy for years by a pattern of ten characters.
                pattern_options=_PATTERNS,
                # Users' data goes neither into logs nor into refusals.
                mask="the value",
                offline=True,
            )
        except jsonschema_rs.ValidationError as fault:
            place = _pointer(fault.instance_path)
            reason = fault.message.split("\n", 1)[0][:REASON_CHARS_MAX]
            raise InvalidSchema(
                f"The schema is not valid at {place or 'its top'}: {reason}. Patterns are those of RE2, "
                "without look-around and back-references."
                if "regex" in reason
                else f"The schema is not valid at {place or 'its top'}: {reason}."
            ) from None
        except (jsonschema_rs.ReferencingError, ValueError) as fault:
            raise InvalidSchema(f"The schema cannot be used: {str(fault)[:REASON_CHARS_MAX]}") from None

    def violations(self, data: str) -> list[Violation]:
        """What is wrong with `data`, a JSON text: the first few departures, none when it fits."""
        levels = depth(data.encode()) if self._depth_max is not None else 0
        if self._depth_max is not None and levels > self._depth_max:
            return [Violation("", f"is nested deeper than the {self._depth_max} levels that this schema is checked to")]
        value = read_json(data)
        if self._validator.is_valid(value):
            return []
        if self._depth_explained is not None and levels > self._depth_explained:
            return [Violation("", "does not fit; the schema is too intricate to say where in data this deep")]
        found = islice(self._validator.iter_errors(value), VIOLATIONS_MAX)
        return [Violation(_pointer(each.instance_path), _reason(each.message)) for each in found]


class Compiler:
    """Compiles each schema once; the ones used last are kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Compiled | None] = OrderedDict()
        # On PostgreSQL several threads check events at once.
        self._changing = threading.Lock()

    def get(self, digest: str) -> "Compiled | None":
        """The compiled schema, None for one that does not compile. Raises KeyError for one that is not kept."""
        with self._changing:
            self._kept.move_to_end(digest)
            return self._kept[digest]

    def add(self, schema_json: str) -> "Compiled | None":
        """The schema, compiled and kept from now on. None when a version of this program took it that could."""
        try:
            compiled = Compiled(check_schema_text(schema_json))
        except InvalidSchema:
            compiled = None
        with self._changing:
            self._kept[digest_of(schema_json)] = compiled
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return compiled


def _pointer(path: list[str | int]) -> str:
    return "".join("/" + str(each).replace("~", "~0").replace("/", "~1") for each in path)


def _reason(message: str) -> str:
    line = message.split("\n", 1)[0]
    return line if len(line) <= REASON_CHARS_MAX else line[: REASON_CHARS_MAX - 1] + "…"

"""The result of an SQL query."""

from collections.abc import Iterator
from typing import Any

import msgspec


class SqlResult(msgspec.Struct, kw_only=True, frozen=True):
    """rows: a list of values for each, one for each of `columns`; exact decimals and integers above 2^53 are texts.

    types: of the columns, as the database names them; empty for a projection's rows. truncated: there are more rows.
    total_count: rows that a projection's condition holds for; of an ad hoc query, the rows here.
    """

    columns: list[str]
    rows: list[list[Any]]
    types: list[str] = []
    total_count: int = 0
    truncated: bool = False

    def dicts(self) -> Iterator[dict[str, Any]]:
        """Each row by its columns' names."""
        for row in self.rows:
            yield dict(zip(self.columns, row, strict=True))

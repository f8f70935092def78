"""Where the two databases differ, by name and with the reason.

SQL is written once: `{name}` is a fragment, `{each:ids}` a fragment with a parameter's name in it.
"""

from dataclasses import dataclass, field
from typing import Any


class _Kept:
    """A fragment that is the text given with it, or nothing: `{alone:, j.state}`."""

    def __init__(self, *, kept: bool) -> None:
        self._kept = kept

    def __format__(self, text: str) -> str:
        return text if self._kept else ""


class _Named:
    """A fragment with a name in it: `{each:ids}` puts `ids` where NAME stands."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __format__(self, name: str) -> str:
        return self._text.replace("NAME", name)


@dataclass(frozen=True)
class Dialect:
    """Named fragments of one database."""

    name: str
    fragments: dict[str, Any]
    _filled: dict[str, str] = field(default_factory=dict)

    def fill(self, sql: str) -> str:
        """`sql` with its fragments filled in; remembered, for statements are constants."""
        filled = self._filled.get(sql)
        if filled is None:
            filled = self._filled[sql] = sql.format_map(self.fragments) if "{" in sql else sql
        return filled


# Which start of PostgreSQL this is, of this or another machine. After a crash of a session, all sessions and locks are
# gone although the postmaster goes on; its statistics begin anew then.
DATABASE_START = """(SELECT CAST(extract(epoch FROM pg_postmaster_start_time()) AS text) || ' '
 || coalesce(CAST(extract(epoch FROM stats_reset) AS text), '') FROM pg_stat_bgwriter)"""

SQLITE = Dialect(
    "sqlite",
    {
        # SQLite has no array parameters; a list arrives as JSON text.
        "each": _Named("(SELECT value FROM json_each(:NAME))"),
        "each_number": _Named("(SELECT value FROM json_each(:NAME))"),
        # Pairs of texts, given as JSON text. Two lists of 500 beside each other would be 250,000 look-ups.
        "pairs": _Named("(SELECT value ->> 0, value ->> 1 FROM json_each(:NAME))"),
        # Rows by where they are, for a statement that deletes some of many: an index serves the inner SELECT alone.
        "in_rows": "rowid IN (SELECT rowid",
        "end_rows": ")",
        # One writer: nothing to skip, nothing to lock.
        "skip_locked": "",
        "for_update": "",
        # Text for a single writer, who sees in one statement what others have to lock before they look.
        "alone": _Kept(kept=True),
        # One writer: no other transaction counts the slots of a key at the same time.
        "lock_key": "SELECT 1",
        "lock_pool": "SELECT 1",
        # The log's position is the row's own number, without a second index.
        "position_key": "INTEGER PRIMARY KEY",
        # After the table of a search along the log. Without statistics SQLite takes any index whose first column is
        # compared, reads all of an environment and sorts it; the row's own number is no index to it and stays.
        "by_position": "NOT INDEXED",
        "blob": "BLOB",
        # Both compare text by bytes.
        "text": "TEXT",
        # What the clock shows now, not at the start of the transaction: milliseconds since 1970.
        "clock_ms": "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
        # LIKE that ignores case: SQLite's does for ASCII.
        "ilike": "LIKE",
        # A part of the JSON text in a column, as JSON text; :json_path is a list of names and of numbers of elements.
        # A number is an index in an array and a name in an object; a path that has one is walked part by part.
        "json_part": _Named(
            "CASE WHEN EXISTS (SELECT 1 FROM json_each(:json_path) WHERE value GLOB '[-+0-9]*') THEN "
            "(WITH RECURSIVE walked(depth, part) AS (SELECT 0, NAME UNION ALL SELECT depth + 1, "
            "CASE WHEN coalesce(json_type(part), '') <> 'array' THEN part -> ('$.\"' || value || '\"') "
            "WHEN ltrim(value, '+') GLOB '[0-9]*' AND substr(value, 2) NOT GLOB '*[^0-9]*' "
            "THEN part -> ('$[' || CAST(value AS INTEGER) || ']') "
            "WHEN value GLOB '-[0-9]*' AND substr(value, 2) NOT GLOB '*[^0-9]*' "
            "THEN part -> ('$[#' || value || ']') END "
            "FROM walked JOIN json_each(:json_path) ON key = depth) "
            "SELECT part FROM walked WHERE depth = json_array_length(:json_path)) "
            "ELSE NAME -> (SELECT '$' || coalesce(group_concat('.\"' || value || '\"', ''), '') "
            "FROM json_each(:json_path)) END"
        ),
        # Class and message of an error, as pages show it.
        "error_text": _Named("(coalesce(NAME ->> '$.error_class' || ': ', '') || coalesce(NAME ->> '$.message', ''))"),
        # The file is locked: every other process with it has ended.
        "lock_is_free": "1 = 1",
        "database_start": "''",
    },
)

POSTGRES = Dialect(
    "postgres",
    {
        "each": _Named("(SELECT unnest(CAST(:NAME AS text[])) AS value)"),
        "each_number": _Named("(SELECT unnest(CAST(:NAME AS bigint[])))"),
        "pairs": _Named("(SELECT value ->> 0, value ->> 1 FROM jsonb_array_elements(CAST(:NAME AS jsonb)))"),
        # An array: with IN, PostgreSQL reads the whole table for each batch.
        "in_rows": "ctid = ANY (ARRAY(SELECT ctid",
        "end_rows": "))",
        # Several nodes claim at once: each takes what no other is taking.
        "skip_locked": "FOR UPDATE SKIP LOCKED",
        "for_update": "FOR UPDATE",
        "alone": _Kept(kept=False),
        # Held until the commit: who counts the slots of a key sees what others have taken.
        "lock_key": "SELECT pg_advisory_xact_lock(hashtextextended(:lock, 0))",
        # As above for one key: shared with transactions of other keys, exclusive with one that locks the function.
        "lock_pool": "SELECT pg_advisory_xact_lock_shared(hashtextextended(:function, 0)), "
        "pg_advisory_xact_lock(hashtextextended(:lock, 0))",
        "position_key": "BIGINT PRIMARY KEY",
        "by_position": "",
        "blob": "BYTEA",
        "text": 'TEXT COLLATE "C"',
        "clock_ms": "CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)",
        "ilike": "ILIKE",
        # The type json keeps what jsonb refuses until it is read: \\u0000.
        "json_part": _Named(
            "CASE WHEN strpos(NAME, '\\u0000') = 0 "
            "THEN CAST(CAST(NAME AS json) #> CAST(:json_path AS text[]) AS text) END"
        ),
        "error_text": _Named(
            "CASE WHEN strpos(NAME, '\\u0000') = 0 THEN coalesce((CAST(NAME AS json) ->> 'error_class') || ': ', '') "
            "|| coalesce(CAST(NAME AS json) ->> 'message', '') ELSE NAME END"
        ),
        # No session holds the lock of this row.
        "lock_is_free": "pg_try_advisory_xact_lock_shared(lock_key)",
        "database_start": DATABASE_START,
    },
)

"""A table of notes: what the tests of storage write and read."""

from collections.abc import Callable

from ironflow.storage.migrate import Migration
from ironflow.storage.port import Tx

NOTES = Migration(1, "notes", ("CREATE TABLE notes (name {text} PRIMARY KEY, body {text} NOT NULL)",))
ADD = "INSERT INTO notes (name, body) VALUES (:name, :body)"


def adding(name: str, body: str = "") -> Callable[[Tx], str]:
    """A transaction that adds a note and answers its name."""

    def add(tx: Tx) -> str:
        tx.run(ADD, {"name": name, "body": body})
        return name

    return add


def names(tx: Tx) -> list[str]:
    """The names of all notes, in order."""
    return [row[0] for row in tx.rows("SELECT name FROM notes ORDER BY name")]

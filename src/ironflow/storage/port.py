"""The port: a transaction is a plain function of `tx`, and a database runs it.

    def change(tx: Tx) -> Put: ...
    answer = await db.write(change)       # durable when this returns

`write_many` is for hot operations: what waits for the same commit is handed to one function as a list.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from ironflow.base.errors import IronflowError, Unavailable
from ironflow.base.notice import Notices

Row = tuple[Any, ...]
Params = dict[str, Any]
T = TypeVar("T")
Item = TypeVar("Item")


class Tx(Protocol):
    """A transaction. SQL has named parameters (`:name`) and dialect fragments (`{skip_locked}`)."""

    def rows(self, sql: str, params: Params | None = None) -> list[Row]:
        """All rows of a query, or of a statement with RETURNING."""
        ...

    def row(self, sql: str, params: Params | None = None) -> Row | None:
        """The first row, or None."""
        ...

    def run(self, sql: str, params: Params | None = None) -> int:
        """Runs a statement; how many rows it changed."""
        ...

    def many(self, sql: str, params: Sequence[Params]) -> None:
        """Runs a statement once for each set of parameters."""
        ...

    def ring(self, topic: str, key: str = "") -> None:
        """Wakes, after the commit, whoever waits for `topic` (or for this key of it), on every node."""
        ...

    def tell(self, notices: Notices) -> None:
        """Gives `notices`, after the commit, to who listens in this process. They are lost when it dies."""
        ...


# A function over a list answers each item with its result, or with the error that only this item gets.
Batch = Callable[[Tx, list[Item]], Sequence[T | IronflowError]]
# Given the keys that rang; what it returns is called on the event loop once its part is durable.
Joiner = Callable[[Tx, set[str]], Callable[[], None] | None]


class Database(Protocol):
    """A database that runs transactions. Everything raised by `fn` undoes what it did and reaches the caller."""

    name: str

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Runs `fn` in a read-write transaction; returns when the commit is on disk. `fn` may be run again.

        Tables are made by migrations: SQLite keeps a transaction only if it changed rows.
        """
        ...

    async def write_many(self, fn: Batch[Item, T], item: Item) -> T:
        """Gives `item` to `fn` together with others that wait for the same commit; returns this item's result."""
        ...

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Runs `fn` on a snapshot, off the event loop. For lists and anything that may take long."""
        ...

    async def peek(self, fn: Callable[[Tx], T]) -> T:
        """Runs `fn` on a snapshot at once. Only for a few look-ups by key."""
        ...

    def join(self, topic: str, joiner: Joiner) -> None:
        """Runs `joiner` whenever a transaction has rung `topic`: in the same commit on SQLite, right after on
        PostgreSQL. So a job goes to a waiting worker with the commit that made it."""
        ...

    def ring(self, topic: str, key: str = "") -> None:
        """Rings outside of any transaction."""
        ...

    def hear(self, heard: Callable[[Notices], None]) -> None:
        """Calls `heard` on the event loop with what transactions of this process told, after their commits."""
        ...

    async def close(self) -> None: ...


def bearable(fault: BaseException) -> BaseException:
    """`fault` as an event loop can carry it: StopIteration means something else there."""
    if not isinstance(fault, StopIteration):
        return fault
    error = RuntimeError("the transaction raised StopIteration")
    error.__cause__ = fault
    return error


class StorageFailed(Unavailable):
    """The database could not do this now. Nothing was changed; try again."""

    code = "STORAGE_FAILED"


class CannotOpen(IronflowError):
    """The database cannot be opened. exit_code: what the program should end with."""

    code = "CANNOT_OPEN_DATABASE"
    exit_code = 74


class DatabaseLocked(CannotOpen):
    """Another server has the database open."""

    exit_code = 75


class NotADatabase(CannotOpen):
    """The file is not an Ironflow database."""

    exit_code = 65


class DatabaseTooNew(CannotOpen):
    """The database was written by a newer version of this program."""

    exit_code = 78

"""The port: a transaction is a plain function of `tx`, and a database runs it.

    def change(tx: Tx) -> Put: ...
    answer = await db.write(change)       # durable when this returns

`write_many` is for hot operations: what waits for the same commit is handed to one function as a list.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from ironflow.base.errors import Aborted, IronflowError, ResourceExhausted, ServerStopping, Unavailable
from ironflow.base.notice import Notices
from ironflow.base.urgency import Urgency

Row = tuple[Any, ...]
Params = dict[str, Any]
# A statement with its parameters.
Query = tuple[str, Params]
T = TypeVar("T")
Item = TypeVar("Item")


class Tx(Protocol):
    """A transaction. SQL has named parameters (`:name`) and dialect fragments (`{skip_locked}`).

    alone: whether there is one writer, so that nothing changes between two statements.
    """

    alone: bool

    def rows(self, sql: str, params: Params | None = None) -> list[Row]:
        """All rows of a query, or of a statement with RETURNING."""
        ...

    def row(self, sql: str, params: Params | None = None) -> Row | None:
        """The first row, or None."""
        ...

    def run(self, sql: str, params: Params | None = None) -> int:
        """Runs a statement; how many rows it changed."""
        ...

    def many(self, sql: str, params: Sequence[Params] | Sequence[Row]) -> None:
        """Runs a statement once for each set of parameters, at the latest before the next query or the commit.

        A row instead of a dict has the values in the order of the statement's parameters, each named once: that saves
        half of the time of a wide table's rows.
        """
        ...

    def batch(self, queries: Sequence["Query"]) -> list[list[Row]]:
        """All rows of each query. They are sent together: one round trip on PostgreSQL, where each sees what was
        committed until it began."""
        ...

    def notify(self, topic: str, key: str = "") -> None:
        """Wakes, after the commit and on every node, the readers that wait for `topic` or for this key of it."""
        ...

    def publish_local(self, notices: Notices) -> None:
        """Gives `notices`, after the commit, to the listeners of this process. They are lost when it dies."""
        ...


# A function over a list answers each item with its result, or with the error that only this item gets.
Batch = Callable[[Tx, list[Item]], Sequence[T | IronflowError]]
# Given the keys that were notified; what it returns is called on the event loop once its part is durable.
CommitHook = Callable[[Tx, set[str]], Callable[[], None] | None]


class Load(NamedTuple):
    """How many transactions wait for their turn, and how many were refused since the start; by urgency."""

    waiting: Mapping[Urgency, int]
    refused: Mapping[Urgency, int]


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

    async def peek_once(self, fn: Callable[[Tx], T]) -> T:
        """As `peek`, for a function that reads with one statement: it needs no transaction around it.

        Saves two of three round trips on PostgreSQL. A second statement raises RuntimeError.
        """
        ...

    def run_in_commit(self, topic: str, hook: CommitHook, wanted: Callable[[], bool] = lambda: True) -> None:
        """Runs `hook` whenever a transaction has notified `topic`: in the same commit on SQLite, right after it on
        PostgreSQL. So a job goes to a waiting worker with the commit that made it. A topic has one hook at most.

        wanted: asked before a transaction is begun for it; False where the hook would find nothing to do.
        """
        ...

    def notify(self, topic: str, key: str = "", *, local: bool = False) -> None:
        """Notifies outside of any transaction. local: on this node only."""
        ...

    def on_published(self, listener: Callable[[Notices], None]) -> None:
        """Calls `listener` on the event loop with what transactions of this process published, after their commits.

        There can be many listeners.
        """
        ...

    def issue(self) -> str | None:
        """Why nothing can be written now, as far as it is known without a look; None when nothing is known."""
        ...

    def load(self) -> Load:
        """What waits now. SQLite, which commits many together, counts all as background."""
        ...

    async def close(self) -> None: ...


def read_once(read: bool) -> None:
    """Raises RuntimeError when a function of `peek_once` has read before."""
    if read:
        raise RuntimeError("A function of peek_once has one statement; use peek for more.")


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


class DatabaseDamaged(StorageFailed):
    """The database is damaged, so that nothing is written any more. Stop the server and restore a backup."""

    code, retryable = "DATABASE_DAMAGED", False


class CommitFailed(StorageFailed):
    """The database refused the commit. Nothing was changed; try again."""


class OutcomeUnknown(Aborted):
    """The connection to the database broke during the commit, and it cannot be found out whether the change was made.
    Look before you try again."""

    code = "OUTCOME_UNKNOWN"


class Overloaded(ResourceExhausted):
    """The server has more requests than its database can take. Nothing was done; try again later."""

    code, status, retry_after_s = "OVERLOADED", 503, 1.0


# What a caller that goes on without its change can meet.
STORAGE_FAULTS = (StorageFailed, OutcomeUnknown, Overloaded, ServerStopping)
# How long a request waits for the database, unless the settings say otherwise.
WAIT_MS = 5_000


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

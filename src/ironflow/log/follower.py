"""Following the log: a cursor, a notification and a batch.

    page = follower.read(tx)          # what comes after its cursor, up to the head
    ...                               # the result and `page.reached` are saved in one transaction, by the owner
    follower.advance(page.reached, page.items)

The owner of a follower keeps its cursor where the result is, and saves both in one transaction, so that each record
counts exactly once: a consumer group's in its row beside its deliveries, a projection's in its row beside its states,
an SQL projection's in the database of the user's tables, the tail's in memory. Notifications of the topic `log` say
that there is more to read; a lost one costs a moment. What a cursor has not passed is kept by a hold, `log/holds.py`.
"""

from collections.abc import Sequence

from ironflow.log.append import TOPIC
from ironflow.log.read import head, records_after
from ironflow.log.record import Record
from ironflow.log.scan import LOOK, Filter, Page, scan, scan_positions
from ironflow.storage.port import Tx

# Records of a page that are read first, for the size of the rest: no page begins with more than these at their largest.
PROBE = 16


class Follower:
    """One reader of the log. position: its cursor, everything up to there is handled; wanted: what it reads.

    until: where it stops, None to follow the head. head: as it was read before, where `until` is known not to be beyond
    it. batch_max, bytes_max: records in one page, and about how much data
    of theirs, judged by its first records; the next page is smaller when the last one had more. look: positions looked
    at in one read.
    """

    topic = TOPIC
    __slots__ = ("_head", "_until", "batch", "batch_max", "bytes_max", "end", "look", "position", "wanted")

    def __init__(
        self,
        wanted: Filter,
        position: int,
        *,
        batch_max: int = 500,
        bytes_max: int = 8 * 1024 * 1024,
        until: int | None = None,
        head: int = 0,
        look: int = LOOK,
    ) -> None:
        self.wanted = wanted
        self.position = position
        self.batch = self.batch_max = batch_max
        self.bytes_max = bytes_max
        self.look = look
        self._until = until
        self._head = head
        # The head as of the last read, or where it stops before.
        self.end = position

    @property
    def is_behind(self) -> bool:
        """Whether there was more at the last read."""
        return self.position < self.end

    def find_end(self, tx: Tx) -> int:
        if self._until is None or self._until > self._head:
            self._head = head(tx)
        self.end = self._head if self._until is None else min(self._head, self._until)
        return self.end

    def read(self, tx: Tx, limit: int | None = None) -> Page[Record]:
        """The next page, of up to `limit` records, else of the batch. Its `reached` is the cursor to save with them."""
        most, end = limit or self.batch, self.find_end(tx)
        first = scan(tx, self.wanted, self.position, end, min(most, PROBE), self.look)
        if most <= PROBE or first.reached >= end:
            return first
        most = fitting(first.items, most, self.bytes_max) - len(first.items)
        if most <= 0:
            return first
        rest = scan(tx, self.wanted, first.reached, end, most, self.look)
        return Page([*first.items, *rest.items], rest.reached)

    def read_next(self, tx: Tx, limit: int) -> Page[Record]:
        """The next page of a follower of every record, for `peek_once`: one statement, which does not read the head."""
        records = records_after(tx, self.position, limit)
        reached = records[-1].position if records else self.position
        # A full page may be followed by another.
        self.end = reached + (len(records) == limit)
        return Page(records, reached)

    def read_positions(self, tx: Tx, limit: int) -> Page[int]:
        """The next page, positions alone: records are loaded in smaller pieces."""
        return scan_positions(tx, self.wanted, self.position, self.find_end(tx), limit, self.look)

    def advance(self, reached: int, records: Sequence[Record] = ()) -> None:
        """Moves the cursor. records: those of the page, for the size of the next one."""
        self.position = reached
        if records:
            self.batch = fitting(records, self.batch_max, self.bytes_max)


def fitting(records: Sequence[Record], count_max: int, bytes_max: int) -> int:
    """How many records like these to read next: no more than `count_max`, nor than about `bytes_max` of their data."""
    size = sum(len(record.data) for record in records)
    return min(count_max, max(1, bytes_max * len(records) // size)) if size else count_max

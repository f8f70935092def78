"""What happens: callers wait until a projection has caught up with a place in the log.

Source: protocol/connectrpc.md 5.5, protocol/rest.md 12.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from ironflow.base.call import Call
from ironflow.base.errors import InvalidArgument, IronflowError
from ironflow.features.events.contract import EventNotFound
from ironflow.features.projections import contract, feeding, rules, saving, store
from ironflow.features.projections.contract import FrameKind, Waited, WaitFrame, WaitItem
from ironflow.features.projections.rules import Feed, ProjectionRow, Standing
from ironflow.features.projections.saving import TOPIC, notify_key
from ironflow.log.read import head, records
from ironflow.log.scan import Filter, count
from ironflow.notify.port import Notifier, Waiter
from ironflow.storage.port import Database, Tx

WAIT_S, WAIT_S_MAX, STREAM_S_MAX = 30.0, 60.0, 300.0
BATCH_MAX = 16
HEARTBEAT_S = 15.0
LOOK_AGAIN_S = 1.0

# (environment, name) -> the projection of that name in another feature, which notifies by `in_tx.moved`; None for none.
Elsewhere = Callable[[Tx, str, str], Standing | None]


class Waits:
    """Waiting for projections of every kind, at most `waits_max` callers at a time on a node."""

    def __init__(
        self, db: Database, notifier: Notifier, waits_max: int, elsewhere: Elsewhere = lambda *_: None
    ) -> None:
        self._db = db
        self._elsewhere = elsewhere
        self._notifier = notifier
        self._free = waits_max

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.wait: self.wait,
            contract.wait_batch: self.wait_batch,
            contract.wait_for_event: self.wait_for_event,
            contract.wait_stream: self.wait_stream,
        }

    async def wait(self, call: Call, request: contract.Wait) -> Waited:
        item = WaitItem(name=request.name, min_seq=request.min_seq, partition=request.partition)
        with self._slots(1):
            return await self._wait(call, item, _deadline(request.timeout, WAIT_S_MAX))

    async def wait_batch(self, call: Call, request: contract.WaitBatch) -> contract.BatchWaited:
        if not 1 <= len(request.items) <= BATCH_MAX:
            raise InvalidArgument(f"The batch has {len(request.items)} items; 1 to {BATCH_MAX} are possible.")
        deadline = _deadline(request.timeout, WAIT_S_MAX)
        with self._slots(len(request.items)):
            async with asyncio.TaskGroup() as group:
                waiting = [group.create_task(self._wait_item(call, item, deadline)) for item in request.items]
        return contract.BatchWaited(results=[each.result() for each in waiting])

    async def wait_for_event(self, call: Call, request: contract.WaitForEvent) -> Waited:
        deadline = _deadline(request.timeout, WAIT_S_MAX)
        found = (await self._db.peek(lambda tx: records(tx, [request.event_id]))).get(request.event_id)
        if found is None or found.environment != call.environment:
            raise EventNotFound(f"There is no event {request.event_id[:140]!r} in this environment.")
        item = WaitItem(name=request.projection, min_seq=found.position, partition=request.partition)
        with self._slots(1):
            return await self._wait(call, item, deadline)

    async def wait_stream(self, call: Call, request: contract.Wait) -> AsyncGenerator[WaitFrame, None]:
        item = WaitItem(name=request.name, min_seq=request.min_seq, partition=request.partition)
        deadline = _deadline(request.timeout, STREAM_S_MAX)
        reported, written_at = -1, _time()
        with self._slots(1), self._notifier.waiter(TOPIC, notify_key(call.environment, item.name)) as waiter:
            looking = _Looking(self._db, call.environment, item, self._elsewhere)
            while True:
                try:
                    seen = await looking.look(counted=True)
                except contract.NotWaitable as refusal:
                    yield WaitFrame(kind=FrameKind.DONE, error=refusal.message)
                    return
                if seen.caught_up or _time() >= deadline:
                    yield _frame(FrameKind.DONE, seen, timed_out=not seen.caught_up)
                    return
                if seen.current_seq != reported:
                    reported, written_at = seen.current_seq, _time()
                    yield _frame(FrameKind.PROGRESS, seen)
                elif _time() - written_at >= HEARTBEAT_S:
                    written_at = _time()
                    yield _frame(FrameKind.HEARTBEAT, seen)
                await looking.rest(waiter, deadline)

    async def _wait_item(self, call: Call, item: WaitItem, deadline: float) -> contract.ItemWaited:
        try:
            return contract.ItemWaited(result=await self._wait(call, item, deadline))
        except IronflowError as refusal:
            return contract.ItemWaited(error=refusal.message)

    async def _wait(self, call: Call, item: WaitItem, deadline: float) -> Waited:
        """Raises ProjectionNotFound, NotWaitable."""
        looking = _Looking(self._db, call.environment, item, self._elsewhere)
        with self._notifier.waiter(TOPIC, notify_key(call.environment, item.name)) as waiter:
            while True:
                is_last = _time() >= deadline
                seen = await looking.look(counted=is_last)
                if seen.caught_up or is_last:
                    seen.timed_out = not seen.caught_up
                    return seen
                await looking.rest(waiter, deadline)

    @contextmanager
    def _slots(self, count: int) -> Iterator[None]:
        """Takes that many places, or none. Raises WaitsFull."""
        if count > self._free:
            raise contract.WaitsFull(f"{count} places to wait are asked for, {self._free} are free. Try again later.")
        self._free -= count
        try:
            yield
        finally:
            self._free += count


class _Looking:
    """Looks again and again whether a projection has come far enough; goes on where it has searched."""

    def __init__(self, db: Database, environment: str, item: WaitItem, elsewhere: Elsewhere) -> None:
        self._db = db
        self._elsewhere = elsewhere
        self._environment = environment
        self._item = item
        self._target = item.min_seq
        # (generation, cursor, up to where the log has nothing left to save).
        self._place = ("", 0, 0)
        self._more = False

    async def look(self, *, counted: bool) -> Waited:
        """counted: whether the events behind are; a projection notifies at every save, and counting takes long.

        Raises ProjectionNotFound; NotWaitable when it will not move and is not there.
        """
        return await self._db.read(lambda tx: self._look(tx, counted))

    async def rest(self, waiter: Waiter, deadline: float) -> None:
        """Until something may have changed."""
        if not self._more:
            await waiter.wait(max(min(deadline - _time(), LOOK_AGAIN_S), 0.001))

    def _look(self, tx: Tx, counted: bool) -> Waited:
        # Without a position: all that is in the log when the wait begins.
        self._target = self._target or head(tx)
        projection = store.projection(tx, self._environment, self._item.name)
        if projection is None:
            return self._look_elsewhere(tx, counted)
        rules.check_partition_known(projection, self._item.partition)
        current = self._current(tx, projection)
        caught_up = current >= self._target
        if not caught_up:
            rules.check_waitable(projection)
        return Waited(
            caught_up=caught_up,
            timed_out=False,
            current_seq=current,
            target_seq=self._target,
            behind_by_events=self._behind(tx, feeding.filter_of(projection), current) if counted else 0,
            rebuilding=bool(projection.rebuild_id),
            mode=projection.mode,
        )

    def _look_elsewhere(self, tx: Tx, counted: bool) -> Waited:
        standing = self._elsewhere(tx, self._environment, self._item.name)
        if standing is None:
            raise saving.not_found(self._environment, self._item.name)
        rules.check_standing_waitable(standing, self._item.partition, self._target)
        return Waited(
            caught_up=standing.position >= self._target,
            timed_out=False,
            current_seq=standing.position,
            target_seq=self._target,
            behind_by_events=self._behind(tx, standing.wanted, standing.position) if counted else 0,
            rebuilding=standing.rebuilding,
            mode="managed",
        )

    def _behind(self, tx: Tx, wanted: Filter, current: int) -> int:
        until = min(self._target, head(tx))
        return count(tx, wanted, current, until).records if current < until else 0

    def _current(self, tx: Tx, projection: ProjectionRow) -> int:
        """Up to where every event of the projection, or of the partition, is saved in the version that readers see."""
        generation, cursor, searched = self._place
        start = (
            max(searched, projection.cursor)
            if (generation, cursor) == (projection.generation, projection.cursor)
            else projection.cursor
        )
        self._more = False
        if start >= self._target:
            return start
        feed = Feed(projection.generation, projection.cursor)
        partition = self._item.partition or None if projection.partition_key else None
        found = feeding.next_events(tx, projection, feed, start, 1, partition=partition)
        self._more = found.more and not found.events
        current = found.events[0].record.position - 1 if found.events else found.searched
        self._place = (projection.generation, projection.cursor, current)
        return current


def _frame(kind: FrameKind, seen: Waited, *, timed_out: bool = False) -> WaitFrame:
    return WaitFrame(
        kind=kind,
        current_seq=seen.current_seq,
        target_seq=seen.target_seq,
        behind_by_events=seen.behind_by_events,
        caught_up=seen.caught_up,
        timed_out=timed_out,
        mode=seen.mode,
    )


def _time() -> float:
    return asyncio.get_running_loop().time()


def _deadline(timeout: timedelta | None, max_s: float) -> float:
    return _time() + min(WAIT_S if timeout is None else timeout.total_seconds(), max_s)

"""What happens: dead letters are listed, delivered again and deleted, long lists in small transactions."""

from builtins import list as list_
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ironflow.base.call import Call
from ironflow.base.json import to_json
from ironflow.base.time import to_datetime
from ironflow.features.dead_letters import contract, rules, store
from ironflow.features.dead_letters.store import DeadLetter
from ironflow.log.read import records
from ironflow.log.record import Record
from ironflow.storage.port import Database, Tx

BATCH = 500


class Groups(Protocol):
    """What dead letters need of consumer groups, inside their own transactions."""

    def group_id(self, tx: Tx, call: Call, namespace: str, name: str, *, to_write: bool = False) -> str:
        """Raises GroupNotFound. to_write: lock the group until the commit."""
        ...

    def deliver_again(self, tx: Tx, group_id: str, events: Sequence[tuple[int, str]], now: int) -> None:
        """Delivers events, given by (position, id), as if they were never delivered."""
        ...


class DeadLetters:
    """The dead letters of all groups."""

    def __init__(self, db: Database, groups: Groups) -> None:
        self._db = db
        self._groups = groups

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.list_: self.list, contract.replay: self.replay, contract.purge: self.purge}

    async def list(self, call: Call, request: contract.ListDeadLetters) -> contract.DeadLetters:
        fits = rules.topic_filter(request.topic)
        after = rules.position_of_cursor(request.cursor)

        def look(tx: Tx) -> contract.DeadLetters:
            group_id = self._groups.group_id(tx, call, request.namespace, request.name)
            found: list_[DeadLetter] = []
            at = after
            while len(found) < request.limit:
                page = store.after(tx, group_id, at, request.reason, call.now, BATCH)
                found += [each for each in page if fits(each.topic)]
                if len(page) < BATCH:
                    break
                at = page[-1].position
            more = len(found) >= request.limit
            found = found[: request.limit]
            events = records(tx, [each.event_id for each in found])
            return contract.DeadLetters(
                dead_letters=[_message(each, events.get(each.event_id)) for each in found],
                count=len(found),
                next_cursor=str(found[-1].position) if more else None,
            )

        return await self._db.read(look)

    async def replay(self, call: Call, request: contract.ChooseDeadLetters) -> contract.Chosen:
        def deliver_again(tx: Tx, group_id: str, chosen: list_[DeadLetter]) -> None:
            events = [(each.position, each.event_id) for each in chosen]
            self._groups.deliver_again(tx, group_id, events, call.now)

        return await self._remove(call, request, deliver_again)

    async def purge(self, call: Call, request: contract.ChooseDeadLetters) -> contract.Chosen:
        return await self._remove(call, request, lambda tx, group_id, chosen: None)

    async def _remove(
        self,
        call: Call,
        request: contract.ChooseDeadLetters,
        act: Callable[[Tx, str, list_[DeadLetter]], None],
    ) -> contract.Chosen:
        """Acts on the chosen dead letters and deletes them. Dead letters that are added meanwhile are not chosen."""
        rules.check_choice(request)
        fits = rules.topic_filter(request.topic)

        def change(tx: Tx, after: int) -> tuple[int, int | None]:
            group_id = self._groups.group_id(tx, call, request.namespace, request.name, to_write=True)
            if request.event_ids:
                page = store.of_events(tx, group_id, request.event_ids)
            else:
                page = store.after(tx, group_id, after, request.reason, call.now, BATCH)
            chosen = [each for each in page if fits(each.topic)]
            act(tx, group_id, chosen)
            store.delete(tx, chosen)
            is_last = bool(request.event_ids) or len(page) < BATCH
            return len(chosen), None if is_last else page[-1].position

        count, after = 0, -1
        while True:
            done, next_after = await self._db.write(lambda tx, after=after: change(tx, after))
            count += done
            if next_after is None:
                return contract.Chosen(count=count)
            after = next_after


def _message(dead_letter: DeadLetter, record: Record | None) -> contract.DeadLetter:
    return contract.DeadLetter(
        event_id=dead_letter.event_id,
        sequence=dead_letter.position,
        topic=dead_letter.topic,
        reason=dead_letter.reason,
        attempts=dead_letter.attempts,
        dead_at=to_datetime(dead_letter.dead_at),
        data=to_json(record.data) if record is not None else None,
    )

"""Dead letters: looked at, delivered again, forgotten. Long lists are gone through in small transactions."""

from builtins import list as list_
from collections.abc import Callable

from ironflow.base.call import Call
from ironflow.features.consumer_groups import contract, messages, rules, settling, store
from ironflow.features.consumer_groups.lookup import group_of
from ironflow.features.consumer_groups.rules import Delivery, Group
from ironflow.features.consumer_groups.store import Dead
from ironflow.log.read import records
from ironflow.log.topics import topic_pattern
from ironflow.storage.port import Database, Tx

BATCH = 500


class Graveyard:
    """The dead letters of all groups."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list(self, call: Call, request: contract.ListDeadLetters) -> contract.DeadLetters:
        fits = _fits(request.topic)
        after = rules.dead_cursor(request.cursor)

        def look(tx: Tx) -> contract.DeadLetters:
            group = group_of(tx, call, request.namespace, request.name)
            found: list_[Dead] = []
            at = after
            while len(found) < request.limit:
                page = store.dead_after(tx, group.id, at, request.reason, call.now, BATCH)
                found += [each for each in page if fits(each)]
                if len(page) < BATCH:
                    break
                at = page[-1].position
            more = len(found) >= request.limit
            found = found[: request.limit]
            events = records(tx, [each.event_id for each in found])
            return contract.DeadLetters(
                dead_letters=[messages.dead_message(each, events.get(each.event_id)) for each in found],
                count=len(found),
                next_cursor=str(found[-1].position) if more else None,
            )

        return await self._db.read(look)

    async def replay(self, call: Call, request: contract.ChooseDeadLetters) -> contract.Chosen:
        def again(tx: Tx, group: Group, chosen: list_[Dead]) -> None:
            # As if they had never been delivered.
            store.add_deliveries_again(
                tx, [Delivery(group.id, each.position, each.event_id, 0, "", call.now) for each in chosen]
            )
            tx.ring(settling.RING, group.id)

        return await self._each(call, request, again)

    async def purge(self, call: Call, request: contract.ChooseDeadLetters) -> contract.Chosen:
        return await self._each(call, request, lambda tx, group, chosen: None)

    async def _each(
        self, call: Call, request: contract.ChooseDeadLetters, act: Callable[[Tx, Group, list_[Dead]], None]
    ) -> contract.Chosen:
        """Acts on the chosen dead letters and takes them off the list; those that die meanwhile are not chosen."""
        rules.check_choice(request)
        fits = _fits(request.topic)

        def change(tx: Tx, after: int) -> tuple[int, int | None]:
            group = group_of(tx, call, request.namespace, request.name, to_write=True)
            if request.event_ids:
                page = store.dead_named(tx, group.id, request.event_ids)
            else:
                page = store.dead_after(tx, group.id, after, request.reason, call.now, BATCH)
            chosen = [each for each in page if fits(each)]
            act(tx, group, chosen)
            store.delete_dead(tx, group.id, chosen)
            is_last = bool(request.event_ids) or len(page) < BATCH
            return len(chosen), None if is_last else page[-1].position

        count, after = 0, -1
        while True:
            done, next_after = await self._db.write(lambda tx, after=after: change(tx, after))
            count += done
            if next_after is None:
                return contract.Chosen(count=count)
            after = next_after


def _fits(topic: str) -> Callable[[Dead], bool]:
    """Whether a dead letter's topic is meant. topic: a pattern, empty for all. Raises InvalidPattern."""
    if not topic:
        return lambda dead: True
    pattern = topic_pattern(topic)
    return lambda dead: pattern.fits_topic(dead.topic)

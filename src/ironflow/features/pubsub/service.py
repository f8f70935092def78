"""What happens: publishing, in one commit with whatever else waits for it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.time import to_datetime
from ironflow.base.trace_context import with_trace
from ironflow.features.consumer_groups.in_tx import readers, reads
from ironflow.features.events.in_tx import check_idempotency_key
from ironflow.features.pubsub import contract, rules, store
from ironflow.features.runs.in_tx import Inheritance
from ironflow.features.subscriptions.service import Subscriptions
from ironflow.log.append import append
from ironflow.log.dedup import FirstAnswer, Place, first_answers, is_repeat, save_answers
from ironflow.log.read import head, records
from ironflow.log.record import Record
from ironflow.log.scan import Filter, count_up_to
from ironflow.log.topics import TopicPattern
from ironflow.storage.port import Database, Tx

# A reader's lag is counted up to this.
LAG_MAX = 10_000


class _Answer(NamedTuple):
    event_id: str
    sequence: int
    duplicate: bool


class PubSub:
    """The pubsub feature. data_bytes_max: the largest message accepted."""

    def __init__(
        self, db: Database, ids: Ids, data_bytes_max: int, subscriptions: Subscriptions, inheritance: Inheritance
    ) -> None:
        self._db = db
        self._ids = ids
        self._subscriptions = subscriptions
        self._data_bytes_max = data_bytes_max
        self._publish = _publisher(inheritance)

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.publish: self.publish, contract.list_: self.list, contract.stats: self.stats}

    async def publish(self, call: Call, request: contract.Publish) -> contract.Published:
        rules.check_topic(request.topic)
        check_idempotency_key(request.idempotency_key)
        message = Record(
            id=self._ids.new("msg"),
            environment=call.environment,
            kind="topic",
            name=request.topic,
            data=rules.message_text(request.data, self._data_bytes_max),
            metadata=with_trace(None, call.trace),
            source="publish",
            idempotency_key=request.idempotency_key or None,
            run_id=call.run_id or None,
            emitted_by=call.principal.name or None,
            created_at=call.now,
        )
        answer = await self._db.write_many(self._publish, message)
        return contract.Published(event_id=answer.event_id, sequence=answer.sequence, duplicate=answer.duplicate)

    async def list(self, call: Call, request: contract.ListTopics) -> contract.Topics:
        def look(tx: Tx) -> contract.Topics:
            found = store.topics_after(tx, call.environment, request.cursor, request.limit)
            known = readers(tx, call.environment)
            plain = self._subscriptions.topic_subscribers(tx, call.environment, call.now)
            return contract.Topics(
                topics=[
                    contract.TopicInfo(
                        name=each.name,
                        message_count=each.messages,
                        consumer_count=sum(reads(reader, "topic", each.name) for reader in known)
                        + _count(plain, each.name),
                        first_message_at=to_datetime(each.first_at),
                        last_message_at=to_datetime(each.last_at),
                    )
                    for each in found
                ],
                next_cursor=found[-1].name if len(found) == request.limit else None,
            )

        return await self._db.read(look)

    async def stats(self, call: Call, request: contract.GetTopicStats) -> contract.TopicStats:
        name = request.topic.removeprefix("topic:")

        def look(tx: Tx) -> contract.TopicStats:
            topic = store.topic(tx, call.environment, name) or store.Topic(name)
            of_topic = [reader for reader in readers(tx, call.environment) if reads(reader, "topic", name)]
            plain = self._subscriptions.topic_subscribers(tx, call.environment, call.now)
            wanted, end = Filter(call.environment, ("topic",), (name,)), head(tx)
            behind = (count_up_to(tx, wanted, reader.position, end, LAG_MAX) + reader.undone for reader in of_topic)
            return contract.TopicStats(
                name=name,
                message_count=topic.messages,
                consumer_count=len(of_topic) + _count(plain, name),
                lag=max(behind, default=0),
                first_seq=topic.first_position,
                last_seq=topic.last_position,
            )

        return await self._db.read(look)


def _count(subscribers: list[tuple[TopicPattern, int]], topic: str) -> int:
    """How many of the subscriptions get what is published to the topic."""
    return sum(count for pattern, count in subscribers if pattern.fits_name(topic))


def _publisher(inheritance: Inheritance) -> Callable[[Tx, list[Record]], list[_Answer]]:
    """A function that publishes; commits gather messages for it."""
    return lambda tx, messages: _publish(tx, inheritance.applied(tx, messages))


def _publish(tx: Tx, messages: list[Record]) -> list[_Answer]:
    """Appends messages; one whose key was seen is answered with the first one's id."""
    keys = {message.id: key for message in messages if (key := _key(message)) is not None}
    known = first_answers(tx, list(dict.fromkeys(keys.values()))) if keys else {}
    fresh: dict[str, Record] = {}
    first: dict[Place, FirstAnswer] = {}
    for message in messages:
        key = keys.get(message.id)
        before = (first.get(key) or known.get(key)) if key else None
        if before is not None and is_repeat(before.created_at, message.created_at):
            continue
        fresh[message.id] = message
        if key is not None:
            first[key] = FirstAnswer(message.id, [], message.created_at)
    if first:
        save_answers(tx, first)
    appended = append(tx, list(fresh.values()))
    store.count_in(tx, appended)
    placed = {record.id: record.position for record in appended}
    earlier = records(tx, [answer.event_id for answer in known.values()]) if known else {}
    answers: list[_Answer] = []
    for message in messages:
        if message.id in placed:
            answers.append(_Answer(message.id, placed[message.id], duplicate=False))
            continue
        key = keys[message.id]
        event_id = (first.get(key) or known[key]).event_id
        position = placed.get(event_id) or (earlier[event_id].position if event_id in earlier else 0)
        answers.append(_Answer(event_id, position, duplicate=True))
    return answers


def _key(message: Record) -> Place | None:
    if message.idempotency_key is None:
        return None
    return (message.environment, f"publish:{message.name}", message.idempotency_key)

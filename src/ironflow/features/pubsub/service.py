"""What happens: publishing, in one commit with whatever else waits for it."""

from typing import Any, NamedTuple

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.features.events.rules import check_idempotency_key
from ironflow.features.pubsub import contract, rules
from ironflow.log.append import append
from ironflow.log.dedup import FirstAnswer, Place, first_answers, is_repeat, save_answers
from ironflow.log.read import records
from ironflow.log.record import Record
from ironflow.storage.port import Database, Tx


class _Answer(NamedTuple):
    event_id: str
    sequence: int
    duplicate: bool


class PubSub:
    """The pubsub room. data_bytes_max: the largest message accepted."""

    def __init__(self, db: Database, ids: Ids, data_bytes_max: int) -> None:
        self._db = db
        self._ids = ids
        self._data_bytes_max = data_bytes_max

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.publish: self.publish}

    async def publish(self, call: Call, request: contract.Publish) -> contract.Published:
        rules.check_topic(request.topic)
        check_idempotency_key(request.idempotency_key)
        message = Record(
            id=self._ids.new("msg"),
            environment=call.environment,
            kind="topic",
            name=request.topic,
            data=rules.message_text(request.data, self._data_bytes_max),
            source="publish",
            idempotency_key=request.idempotency_key or None,
            run_id=call.run_id or None,
            emitted_by=call.principal.name or None,
            created_at=call.now,
        )
        answer = await self._db.write_many(_publish, message)
        return contract.Published(event_id=answer.event_id, sequence=answer.sequence, duplicate=answer.duplicate)


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
    placed = {record.id: record.position for record in append(tx, list(fresh.values()))}
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

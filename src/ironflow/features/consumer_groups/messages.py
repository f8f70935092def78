"""Groups, events and dead letters as clients see them."""

from ironflow.base.json import to_json
from ironflow.base.time import to_datetime
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.claiming import Handed
from ironflow.features.consumer_groups.rules import Group
from ironflow.features.consumer_groups.store import Dead
from ironflow.log.record import Record
from ironflow.log.topics import payload_text, topic_of


def group_message(group: Group, members: int = 0) -> contract.ConsumerGroup:
    return contract.ConsumerGroup(
        id=group.id,
        namespace=group.namespace,
        name=group.name,
        pattern=group.pattern,
        filter_expr=group.filter_expr,
        ack_mode=contract.AckMode(group.ack_mode),
        backpressure=contract.BackpressureMode(group.backpressure),
        max_inflight=group.max_inflight,
        max_redeliveries=group.max_redeliveries,
        redeliver_delay_ms=group.redeliver_delay_ms,
        metadata=to_json(group.metadata),
        status=contract.GroupStatus(group.status),
        member_count=members,
        created_at=to_datetime(group.created_at),
        updated_at=to_datetime(group.updated_at),
    )


def event_message(member_id: str, handed: Handed) -> contract.SubscriptionEvent:
    record = handed.record
    return contract.SubscriptionEvent(
        subscription_id=member_id,
        event_id=record.id,
        topic=topic_of(record),
        data=contract.Json(payload_text(record).encode()),
        metadata=contract.EventMetadata(
            timestamp=to_datetime(record.created_at),
            source=record.source,
            namespace=record.namespace,
            custom=to_json(record.metadata),
        ),
        sequence=record.position,
        delivery_attempt=handed.delivery.attempt,
    )


def dead_message(dead: Dead, record: Record | None) -> contract.DeadLetter:
    return contract.DeadLetter(
        event_id=dead.event_id,
        sequence=dead.position,
        topic=dead.topic,
        reason=dead.reason,
        attempts=dead.attempts,
        dead_at=to_datetime(dead.dead_at),
        data=to_json(record.data) if record is not None else None,
    )

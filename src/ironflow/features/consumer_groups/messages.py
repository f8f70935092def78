"""Groups and events as clients see them."""

from ironflow.base.json import to_json
from ironflow.base.time import to_datetime
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.claiming import Handed
from ironflow.features.consumer_groups.member import Member
from ironflow.features.consumer_groups.rules import Group
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
        ack_wait_ms=group.ack_wait_ms,
        metadata=to_json(group.metadata),
        status=contract.GroupStatus(group.status),
        member_count=members,
        created_at=to_datetime(group.created_at),
        updated_at=to_datetime(group.updated_at),
    )


def event_message(member: Member, handed: Handed) -> contract.SubscriptionEvent:
    record = handed.record
    return contract.SubscriptionEvent(
        subscription_id=member.id,
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
        ack_wait_ms=member.group.ack_wait_ms if member.settles else None,
        auto_ack=member.is_auto if member.settles else None,
    )

# Made from ironflow/sdk/rooms/consumer_groups.py by ironflow.sdk.generate_sync: change that one and run it.
"""`client.consumer_groups`: groups, their members and their dead letters."""

from builtins import list as list_
from collections.abc import Generator, Iterator, Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import IronflowError
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.contract import AckMode, AckType, BackpressureMode, GroupStatus
from ironflow.sdk._sync_client.calls import Calls
from ironflow.sdk.payload import from_payload, to_payload
from ironflow.sdk.views import ConsumerGroup, DeadLetter, view


class GroupEvent:
    """One delivery. attempt counts from 1. Settle it with `ack`, `nak` or `term`; in `auto` groups it is settled."""

    def __init__(self, calls: Calls, group: str, namespace: str, sent: contract.SubscriptionEvent) -> None:
        self._calls, self._group, self._namespace, self._sent = calls, group, namespace, sent
        self.id = sent.event_id
        self.topic = sent.topic
        self.sequence = sent.sequence
        self.attempt = sent.delivery_attempt
        self.member_id = sent.subscription_id

    @property
    def data(self) -> Any:
        """The event's data, decoded."""
        return from_payload(self._sent.data)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the sender gave as metadata."""
        about = self._sent.metadata
        return {} if about is None or about.custom is None else from_payload(about.custom)

    @property
    def timestamp(self) -> datetime | None:
        return None if self._sent.metadata is None else self._sent.metadata.timestamp

    @property
    def source(self) -> str:
        return "" if self._sent.metadata is None else self._sent.metadata.source

    def ack(self) -> None:
        """It is done. Durable when this returns; of something not in flight any more it changes nothing.

        Raises MemberNotFound when the member is gone: the event goes to another one.
        """
        self._settle(AckType.ACK)

    def nak(self, delay: Duration | None = None) -> None:
        """Deliver it again after `delay`; None for the group's own. Raises MemberNotFound, InvalidAck."""
        # On the wire 0 stands for the group's delay.
        self._settle(AckType.NAK, 0 if delay is None else max(duration_ms(delay, number_unit="s"), 1))

    def term(self) -> None:
        """Never deliver it again: it goes to the dead letters. Raises MemberNotFound."""
        self._settle(AckType.TERM)

    def _settle(self, ack_type: AckType, delay_ms: int = 0) -> None:
        request = contract.AckEvent(
            namespace=self._namespace,
            group_name=self._group,
            consumer_id=self.member_id,
            event_id=self.id,
            ack_type=ack_type,
            redeliver_delay_ms=delay_ms,
        )
        self._calls.call(contract.ack, request)

    def __repr__(self) -> str:
        return f"<GroupEvent {self.id} of {self.topic}, attempt {self.attempt}>"


class ConsumerGroups:
    """Groups share the events of a pattern: each event goes to one member."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(
        self,
        name: str,
        pattern: str,
        *,
        namespace: str = "",
        filter: str = "",
        ack: AckMode | str = AckMode.AUTO,
        backpressure: BackpressureMode | str = BackpressureMode.BUFFER,
        max_inflight: int = 0,
        max_redeliveries: int = 0,
        redeliver_delay: Duration | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> ConsumerGroup:
        """Makes a group that begins with the next event. 0 and None mean the default.

        Raises GroupExists, InvalidGroup, InvalidPattern, InvalidExpression.
        """
        request = contract.CreateGroup(
            namespace=namespace,
            name=name,
            pattern=pattern,
            filter_expr=filter,
            ack_mode=AckMode(ack),
            backpressure=BackpressureMode(backpressure),
            max_inflight=max_inflight,
            max_redeliveries=max_redeliveries,
            redeliver_delay_ms=0 if redeliver_delay is None else duration_ms(redeliver_delay, number_unit="s"),
            metadata=None if metadata is None else to_payload(metadata, "the metadata"),
        )
        return view(ConsumerGroup, self._calls.call(contract.create, request))

    def get(self, name: str, *, namespace: str = "") -> ConsumerGroup:
        """One group with its lag, what is in flight and what is dead. Raises GroupNotFound."""
        request = contract.NamedGroup(namespace=namespace, name=name)
        return view(ConsumerGroup, self._calls.call(contract.get, request))

    def list(
        self, *, namespace: str = "", status: GroupStatus | str | None = None, page_size: int = 100
    ) -> Iterator[ConsumerGroup]:
        """Groups by namespace and name; asks for the next page when it is needed. namespace: empty for all."""
        request = contract.ListGroups(
            namespace=namespace, status=None if status is None else GroupStatus(status), limit=page_size
        )
        for page in self._calls.pages(contract.list_, request):
            for group in page.groups:
                yield view(ConsumerGroup, group)

    def update(
        self,
        name: str,
        *,
        namespace: str = "",
        pattern: str | None = None,
        filter: str | None = None,
        ack: AckMode | str | None = None,
        backpressure: BackpressureMode | str | None = None,
        max_inflight: int | None = None,
        max_redeliveries: int | None = None,
        redeliver_delay: Duration | None = None,
        metadata: Mapping[str, Any] | None = None,
        status: GroupStatus | str | None = None,
    ) -> ConsumerGroup:
        """Changes what is given. Raises GroupNotFound, InvalidGroup, InvalidPattern, InvalidExpression."""
        request = contract.GroupChange(
            namespace=namespace,
            name=name,
            pattern=pattern,
            filter_expr=filter,
            ack_mode=None if ack is None else AckMode(ack),
            backpressure=None if backpressure is None else BackpressureMode(backpressure),
            max_inflight=max_inflight,
            max_redeliveries=max_redeliveries,
            redeliver_delay_ms=None if redeliver_delay is None else duration_ms(redeliver_delay, number_unit="s"),
            metadata=None if metadata is None else to_payload(metadata, "the metadata"),
            status=None if status is None else GroupStatus(status),
        )
        return view(ConsumerGroup, self._calls.call(contract.patch, request))

    def pause(self, name: str, *, namespace: str = "") -> ConsumerGroup:
        """Hands nothing out until `resume`; members stay. Raises GroupNotFound."""
        return self.update(name, namespace=namespace, status=GroupStatus.PAUSED)

    def resume(self, name: str, *, namespace: str = "") -> ConsumerGroup:
        """Raises GroupNotFound."""
        return self.update(name, namespace=namespace, status=GroupStatus.ACTIVE)

    def delete(self, name: str, *, namespace: str = "") -> None:
        """Deletes a group with its position, deliveries and dead letters. Raises GroupNotFound."""
        self._calls.call(contract.delete, contract.NamedGroup(namespace=namespace, name=name))

    def join(
        self,
        name: str,
        *,
        namespace: str = "",
        prefetch: int = 32,
        client_id: str = "",
        on_error: Callable[[IronflowError], None] | None = None,
    ) -> Generator[GroupEvent, None]:
        """This member's share of the events, for ever; joins again by itself when the connection breaks.

        Close it to leave the group: what it has not settled goes to others at once.

        prefetch: events that it has unsettled at a time; 0 for as many as the group allows. on_error: sees every
        failure after which it joins again. Raises GroupNotFound when there is no such group, or it was deleted.
        """
        request = contract.JoinGroup(namespace=namespace, group_name=name, prefetch=prefetch, client_id=client_id)
        with closing(self._calls.follow(contract.join, request, lambda asked, _: asked, on_error)) as events:
            for sent in events:
                yield GroupEvent(self._calls, name, namespace, sent)

    def dead_letters(
        self, name: str, *, namespace: str = "", topic: str = "", reason: str = "", page_size: int = 100
    ) -> Iterator[DeadLetter]:
        """Events that are delivered no more, by place in the log. Raises GroupNotFound.

        topic: a pattern of topics. reason: a part of it.
        """
        request = contract.ListDeadLetters(namespace=namespace, name=name, topic=topic, reason=reason, limit=page_size)
        for page in self._calls.pages(contract.dead_letters, request):
            for letter in page.dead_letters:
                yield view(DeadLetter, letter)

    def replay(
        self,
        name: str,
        event_ids: Sequence[str] = (),
        *,
        namespace: str = "",
        topic: str = "",
        reason: str = "",
        all: bool = False,
    ) -> int:
        """Delivers dead letters again as if they were new; how many. Raises GroupNotFound, InvalidGroup.

        Those of event_ids, or those that fit topic and reason, or `all`.
        """
        request = self._choice(name, event_ids, namespace, topic, reason, all)
        return (self._calls.call(contract.replay, request)).count

    def purge(
        self,
        name: str,
        event_ids: Sequence[str] = (),
        *,
        namespace: str = "",
        topic: str = "",
        reason: str = "",
        all: bool = False,
    ) -> int:
        """Forgets dead letters, chosen as for `replay`; how many. Raises GroupNotFound, InvalidGroup."""
        request = self._choice(name, event_ids, namespace, topic, reason, all)
        return (self._calls.call(contract.purge, request)).count

    def _choice(
        self, name: str, event_ids: Sequence[str], namespace: str, topic: str, reason: str, all_of_them: bool
    ) -> contract.ChooseDeadLetters:
        return contract.ChooseDeadLetters(
            namespace=namespace,
            name=name,
            event_ids=list_(event_ids),
            topic=topic,
            reason=reason,
            all=all_of_them,
        )

# Generated from ironflow/sdk/client/features/consumer_groups.py by generate_sync; edit that file.
"""`client.consumer_groups`: groups, their members and their dead letters."""

from builtins import list as list_
from collections.abc import Mapping, Sequence
from typing import Any

from ironflow.base.duration import Duration, duration_ms
from ironflow.features.consumer_groups import contract
from ironflow.features.consumer_groups.contract import AckMode, BackpressureMode, GroupStatus
from ironflow.features.dead_letters import contract as dead_letters
from ironflow.features.dead_letters.contract import ChooseDeadLetters
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing
from ironflow.sdk.client.connection.blocking_subscription import Join, OnError, Subscription
from ironflow.sdk.client.views import ConsumerGroup, DeadLetter, view
from ironflow.sdk.values.payload import to_payload
from ironflow.sdk.wire.reconnect import Reconnect


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
        ack_wait: Duration | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> ConsumerGroup:
        """Makes a group that begins with the next event. 0 and None mean the default.

        ack_wait: the time that a member has for an event from its hand-over. redeliver_delay: before it comes again.

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
            ack_wait_ms=0 if ack_wait is None else duration_ms(ack_wait, number_unit="s"),
            metadata=None if metadata is None else to_payload(metadata, "the metadata"),
        )
        return view(ConsumerGroup, self._calls.call(contract.create, request))

    def get(self, name: str, *, namespace: str = "") -> ConsumerGroup:
        """One group with its lag, what is in flight and what is dead. Raises GroupNotFound."""
        request = contract.NamedGroup(namespace=namespace, name=name)
        return view(ConsumerGroup, self._calls.call(contract.get, request))

    def list(
        self, *, namespace: str = "", status: GroupStatus | str | None = None, page_size: int = 100
    ) -> Listing[ConsumerGroup]:
        """Groups by namespace and name; asks for the next page when it is needed. namespace: empty for all."""
        request = contract.ListGroups(
            namespace=namespace, status=None if status is None else GroupStatus(status), limit=page_size
        )
        return Listing(
            self._calls, contract.list_, request, lambda page: [view(ConsumerGroup, group) for group in page.groups]
        )

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
        ack_wait: Duration | None = None,
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
            ack_wait_ms=None if ack_wait is None else duration_ms(ack_wait, number_unit="s"),
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
        prefetch: int = 4,
        client_id: str = "",
        on_error: OnError | None = None,
        reconnect: Reconnect | None = None,
    ) -> Subscription:
        """This member's share of the events, for ever; joins again by itself when the connection breaks.

        Close it to leave the group: what it has not settled goes to others at once. An event is extended while the loop
        works on it. In an `auto` group it is acked when the loop asks for the next one.

        prefetch: events that it has unsettled at a time; 0 for as many as the group allows. on_error: sees every
        failure after which it joins again. reconnect: None for the client's own.
        Raises GroupNotFound when there is no such group, or it was deleted.
        """
        request = contract.JoinGroup(
            namespace=namespace, group_name=name, prefetch=prefetch, client_id=client_id, settles=True
        )
        join = Join(contract.join, request, name, namespace, patient=True)
        return Subscription(self._calls.endpoint, join, on_error, self._calls, reconnect, codec=self._calls.codec)

    def dead_letters(
        self, name: str, *, namespace: str = "", topic: str = "", reason: str = "", page_size: int = 100
    ) -> Listing[DeadLetter]:
        """Events that are delivered no more, by place in the log. Raises GroupNotFound.

        topic: a pattern of topics. reason: a part of it.
        """
        request = dead_letters.ListDeadLetters(
            namespace=namespace, name=name, topic=topic, reason=reason, limit=page_size
        )
        return Listing(
            self._calls,
            dead_letters.list_,
            request,
            lambda page: [view(DeadLetter, letter) for letter in page.dead_letters],
        )

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
        return (self._calls.call(dead_letters.replay, request)).count

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
        """Deletes dead letters, chosen as for `replay`; how many. Raises GroupNotFound, InvalidGroup."""
        request = self._choice(name, event_ids, namespace, topic, reason, all)
        return (self._calls.call(dead_letters.purge, request)).count

    def _choice(
        self, name: str, event_ids: Sequence[str], namespace: str, topic: str, reason: str, all_of_them: bool
    ) -> ChooseDeadLetters:
        return ChooseDeadLetters(
            namespace=namespace,
            name=name,
            event_ids=list_(event_ids),
            topic=topic,
            reason=reason,
            all=all_of_them,
        )

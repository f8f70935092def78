"""What is asked of a subscription."""

from dataclasses import dataclass
from typing import Any, Literal

from ironflow.features.consumer_groups import contract as groups
from ironflow.features.subscriptions import contract
from ironflow.sdk.client.connection.membership import Join
from ironflow.sdk.wire.operations import path_of

AckMode = Literal["auto", "manual"]
Backpressure = Literal["drop", "block", "buffer"]
SubscriptionTransport = Literal["websocket", "grpc", "auto"]


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """The request of a subscription. after: a sequence, None for new events only."""

    pattern: str
    replay: int = 0
    after: int | None = None
    filter: str = ""
    namespace: str = ""
    group: str = ""
    ack: AckMode = "auto"
    backpressure: Backpressure | None = None
    prefetch: int = 4
    transport: SubscriptionTransport = "websocket"
    # An event without a topic is handed out whenever a connection has begun.
    marks: bool = False

    @property
    def endpoint(self) -> str:
        """The path at which it is asked for."""
        return path_of(contract.subscribe) if self.group or self.transport == "grpc" else "/ws"

    def options(self) -> dict[str, Any]:
        """The options of the frame; what is not set is left out."""
        frame_to_send = {
            "replay": self.replay,
            "startAfterSequence": self.after,
            "filter": self.filter,
            "namespace": self.namespace,
            "backpressure": self.backpressure,
        }
        given = {
            name: value
            for name, value in frame_to_send.items()
            if value or (name == "startAfterSequence" and value == 0)
        }
        return {"includeMetadata": True, **given}

    def message(self) -> contract.Subscribe:
        """The request of a stream."""
        options = contract.SubscribeOptions(
            replay=self.replay,
            include_metadata=True,
            start_after_sequence=self.after,
            filter=self.filter,
            namespace=self.namespace,
            backpressure=None if self.backpressure is None else groups.BackpressureMode(self.backpressure),
            announces=True,
        )
        return contract.Subscribe(pattern=self.pattern, options=options)

    def join(self) -> Join:
        """The request of a member of the group."""
        options = contract.SubscribeOptions(
            replay=self.replay,
            start_after_sequence=self.after,
            filter=self.filter,
            namespace=self.namespace,
            consumer_group=self.group,
            ack_mode=groups.AckMode(self.ack),
            backpressure=None if self.backpressure is None else groups.BackpressureMode(self.backpressure),
            prefetch=self.prefetch,
            settles=True,
        )
        request = contract.Subscribe(pattern=self.pattern, options=options)
        created = groups.CreateGroup(
            namespace=self.namespace,
            name=self.group,
            pattern=self.pattern,
            filter_expr=self.filter,
            ack_mode=groups.AckMode(self.ack),
            backpressure=groups.BackpressureMode(self.backpressure or "buffer"),
        )
        # `replay` and `after` are refused with a group, by the request that has them.
        both_ways = self.transport == "grpc" and not self.replay and self.after is None
        return Join(
            contract.subscribe,
            request,
            self.group,
            self.namespace,
            both_ways=created if both_ways else None,
            prefetch=self.prefetch,
        )

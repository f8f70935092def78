"""What is decided about subscriptions; pure. Source: protocol/websocket.md 1, "Options"; connectrpc.md 5.3."""

import hashlib
from typing import Literal, assert_never

from ironflow.base.json import write_json
from ironflow.base.pattern import without_repeated_rest
from ironflow.features.subscriptions.contract import (
    REPLAY_MAX,
    SHOWN,
    Backpressure,
    InvalidSubscription,
    Subscribe,
    SubscribeOptions,
    Watch,
)
from ironflow.log.topics import TopicPattern, topic_pattern

NAMESPACE = "default"

SYSTEM = "system."
# A helper of existing clients for all secrets; token by token it would match nothing. Source: protocol/connectrpc.md 7.
_ALL_SECRETS = "secret.*"

Overflow = Literal["drop", "fall_behind", "end"]


def pattern_of(text: str) -> TopicPattern:
    """What a subscription's pattern means, the system's own topics included. Raises InvalidPattern."""
    if not text.startswith(SYSTEM):
        return topic_pattern(text)
    name = without_repeated_rest(text.removeprefix(SYSTEM))
    # As strict as with names of events.
    topic_pattern(f"events:{name}")
    return TopicPattern("system", "secret.>" if name == _ALL_SECRETS else name, None)


def scopes_shown(pattern: TopicPattern) -> set[str]:
    """The scopes of what a pattern shows, besides the scope of subscribing."""
    if pattern.kind != "system":
        return {SHOWN[pattern.kind]} if pattern.kind in SHOWN else set()
    first = pattern.tokens.partition(".")[0]
    if first in ("*", ">"):
        return {scope for topic, scope in SHOWN.items() if topic.startswith(SYSTEM)}
    return {SHOWN[SYSTEM + first]} if SYSTEM + first in SHOWN else set()


def check_options(options: SubscribeOptions) -> None:
    """Raises InvalidSubscription."""
    if options.replay < 0:
        raise InvalidSubscription(f"replay is a number of events, not {options.replay}.")
    if options.start_after_sequence is None:
        return
    if options.start_after_sequence < 0:
        raise InvalidSubscription(f"startAfterSequence is a place in the log, not {options.start_after_sequence}.")
    if options.consumer_group:
        raise InvalidSubscription("A consumer group has a position of its own: leave startAfterSequence out.")
    if options.replay:
        raise InvalidSubscription("Give replay or startAfterSequence: the last events, or all after one of them.")


def check_group_pattern(reads: str, wanted: str) -> None:
    """Raises InvalidSubscription when a group reads something else than its new member wants."""
    if topic_pattern(reads) != topic_pattern(wanted):
        raise InvalidSubscription(f"The group reads {reads!r}, not {wanted!r}. Subscribe with its own pattern.")


def subscribe_of(watch: Watch) -> Subscribe:
    """The subscription that a query asks for. Where a browser stopped wins over where its address says to begin."""
    again = watch.last_event_id is not None
    return Subscribe(
        pattern=watch.pattern,
        options=SubscribeOptions(
            replay=0 if again else watch.replay,
            start_after_sequence=watch.last_event_id if again else watch.after,
            filter=watch.filter,
            namespace=watch.namespace,
            include_metadata=watch.include_metadata,
            backpressure=watch.backpressure,
        ),
    )


def replay_count(options: SubscribeOptions) -> int:
    """How many events are sent again before live ones."""
    return min(options.replay, REPLAY_MAX)


def decide_overflow(mode: Backpressure | None, positioned: bool) -> Overflow:
    """What becomes of an event for which a subscriber's queue has no capacity.

    positioned: the subscriber asked to go on after a sequence, so a gap would deceive it.
    fall_behind: the subscriber reads the log itself, at its own pace, until it has caught up.
    """
    match mode:
        case Backpressure.DROP:
            return "drop"
        case Backpressure.BLOCK:
            return "fall_behind"
        case Backpressure.BUFFER | None:
            return "fall_behind" if positioned else "end"
        case _:
            assert_never(mode)


def subscription_id(environment: str, principal: str, request: Subscribe) -> str:
    """The same for the same request of the same caller, on every connection.

    Clients that subscribe again after a reconnect go on listening for the id that they got first.
    Source: protocol/websocket.md 1, "What clients do that a server must survive".
    """
    text = write_json((environment, principal, request.pattern, request.options or SubscribeOptions()))
    return f"sub_{hashlib.sha256(text).hexdigest()[:24]}"

"""The port of feeds: where events come from, live and again. `LogFeed` has the log's, `SystemFeed` the system's own.

A subscription is either live in its feed, and given each event as it comes, or behind, and reads pages of what came
before. It goes over from one to the other without a gap or a repetition: it joins at the feed's position, and reads
what lies between its own and that.
"""

from typing import NamedTuple, Protocol

from ironflow.features.subscriptions.entry import Entry
from ironflow.log.record import Record
from ironflow.log.topics import TopicPattern

# Events in one page.
PAGE = 100
PAGE_BYTES = 4 * 1024 * 1024


class Page(NamedTuple):
    """Events that fit, in order. reached: the sequence up to which was looked."""

    entries: list[Entry]
    reached: int


class Subscriber(Protocol):
    """What a feed knows of a subscription."""

    @property
    def environment(self) -> str: ...

    @property
    def pattern(self) -> TopicPattern: ...

    @property
    def namespace(self) -> str: ...

    def offer(self, entry: Entry) -> None:
        """A live event whose topic fits."""
        ...

    def accepts(self, entry: Entry) -> bool:
        """Whether an event whose topic matches also passes the namespace and the filter."""
        ...

    def entry_for(self, record: Record) -> Entry | None:
        """The record as this subscription receives it; None when it does not match."""
        ...


class Feed(Protocol):
    """position: sequence of the last event given to live subscriptions."""

    @property
    def position(self) -> int: ...

    async def start(self, subscription: Subscriber) -> int:
        """Counts the subscription among those that the feed works for; the sequence of the last event there is now.

        `position` is true from then on. It may be less: what happened a moment ago is yet to be given to live ones.
        """
        ...

    def stop(self, subscription: Subscriber) -> None: ...

    async def check_sequence(self, sequence: int) -> None:
        """Raises InvalidSubscription for one that was never given, SequenceNotKept where what followed is gone."""
        ...

    def join(self, subscription: Subscriber) -> None:
        """From now on the subscription is live."""
        ...

    def part(self, subscription: Subscriber) -> None:
        """The subscription is not live any more."""
        ...

    async def page(self, subscription: Subscriber, after: int, until: int | None) -> Page: ...

    async def before_last(self, subscription: Subscriber, count: int, end: int) -> int:
        """The sequence after which, up to `end`, there are `count` events that fit, or as many as there are."""
        ...

"""`client.topics`: topics, their messages and readers. Publishing itself is `client.publish`."""

from ironflow.features.pubsub import contract
from ironflow.features.pubsub.contract import TopicInfo, TopicStats
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing


class Topics:
    """Topics of this environment."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, *, page_size: int = 1000) -> Listing[TopicInfo]:
        """Topics by name; asks for the next page when it is needed."""
        return Listing(self._calls, contract.list_, contract.ListTopics(limit=page_size), lambda page: page.topics)

    async def stats(self, topic: str) -> TopicStats:
        """One topic with the lag of its slowest consumer group; zeros when nothing was published to it."""
        return await self._calls.call(contract.stats, contract.GetTopicStats(topic=topic))

"""Which groups may match an appended record, so that groups with other patterns are not searched."""

from collections.abc import Collection

from ironflow.base.pattern_index import PatternIndex
from ironflow.features.consumer_groups.rules import Group
from ironflow.log.topics import TopicPattern, topic_pattern

# (environment, kind)
_Source = tuple[str, str]


class Reading:
    """Groups by their pattern. It may return a group that does not match a record, but misses none that does."""

    def __init__(self) -> None:
        self._patterns: dict[str, tuple[_Source, TopicPattern]] = {}
        self._indexes: dict[_Source, PatternIndex[str]] = {}
        self._of_source: dict[_Source, dict[str, None]] = {}

    def add(self, group: Group) -> None:
        """Adds the group, or replaces it when its pattern changed."""
        pattern = topic_pattern(group.pattern)
        source = (group.environment, pattern.kind)
        if self._patterns.get(group.id) == (source, pattern):
            return
        self.remove(group.id)
        self._patterns[group.id] = (source, pattern)
        self._indexes.setdefault(source, PatternIndex()).add(pattern.tokens, group.id)
        self._of_source.setdefault(source, {})[group.id] = None

    def remove(self, group_id: str) -> None:
        found = self._patterns.pop(group_id, None)
        if found is None:
            return
        source, pattern = found
        self._indexes[source].remove(pattern.tokens, group_id)
        of_source = self._of_source[source]
        del of_source[group_id]
        if not of_source:
            del self._of_source[source], self._indexes[source]

    def of(self, key: str) -> Collection[str]:
        """Ids of the groups that a notification of the log may concern. key: made by `log.append.key_of`."""
        environment, kind, name = key.split("\n", 2)
        source = (environment, kind)
        if kind == "entity":
            # An entity pattern also compares type and id, which the key does not contain.
            return self._of_source.get(source, ())
        index = self._indexes.get(source)
        return () if index is None else index.find(tuple(name.split(".")))

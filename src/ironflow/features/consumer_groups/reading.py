"""Which groups may mean what was appended: of a hundred groups those of other patterns need not look."""

from collections.abc import Collection

from ironflow.base.pattern_index import PatternIndex
from ironflow.features.consumer_groups.rules import Group
from ironflow.log.topics import TopicPattern, topic_pattern

# (environment, kind)
_Place = tuple[str, str]


class Reading:
    """Groups by what they read. It may name a group that does not mean a record, and misses none that does."""

    def __init__(self) -> None:
        self._patterns: dict[str, tuple[_Place, TopicPattern]] = {}
        self._indexes: dict[_Place, PatternIndex[str]] = {}
        self._of_place: dict[_Place, dict[str, None]] = {}

    def add(self, group: Group) -> None:
        """The group as it is now; it may have been another before."""
        pattern = topic_pattern(group.pattern)
        place = (group.environment, pattern.kind)
        if self._patterns.get(group.id) == (place, pattern):
            return
        self.remove(group.id)
        self._patterns[group.id] = (place, pattern)
        self._indexes.setdefault(place, PatternIndex()).add(pattern.words, group.id)
        self._of_place.setdefault(place, {})[group.id] = None

    def remove(self, group_id: str) -> None:
        found = self._patterns.pop(group_id, None)
        if found is None:
            return
        place, pattern = found
        self._indexes[place].remove(pattern.words, group_id)
        of_place = self._of_place[place]
        del of_place[group_id]
        if not of_place:
            del self._of_place[place], self._indexes[place]

    def of(self, key: str) -> Collection[str]:
        """Ids of the groups that may mean what a ring of the log says. key: made by `log.append.key_of`."""
        environment, kind, name = key.split("\n", 2)
        place = (environment, kind)
        if kind == "entity":
            # A pattern is compared with type and id too, which the ring does not say.
            return self._of_place.get(place, ())
        index = self._indexes.get(place)
        return () if index is None else index.find(tuple(name.split(".")))

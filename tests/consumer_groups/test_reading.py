"""Which groups look when something was appended: all that mean it, and none of other patterns."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ironflow.features.consumer_groups import rules
from ironflow.features.consumer_groups.contract import CreateGroup
from ironflow.features.consumer_groups.reading import Reading
from ironflow.features.consumer_groups.rules import Group
from ironflow.log.append import key_of
from ironflow.log.record import Record

TOKENS = st.sampled_from(["a", "b", "ab"])
NAMES = st.lists(TOKENS, min_size=1, max_size=3).map(".".join)
PATTERNS = st.builds(
    lambda prefix, tokens, rest: prefix + ".".join(tokens + ([">"] if rest else [])),
    st.sampled_from(["", "events:", "topic:", "entity:"]),
    st.lists(st.sampled_from(["a", "b", "*", "a*"]), min_size=1, max_size=3),
    st.booleans(),
)
RECORDS = st.builds(
    lambda kind, name, entity_id: Record(
        id="x",
        environment="default",
        kind=kind,
        name=name,
        data="1",
        created_at=0,
        **({"entity_type": "a", "entity_id": entity_id} if kind == "entity" else {}),
    ),
    st.sampled_from(["event", "topic", "entity"]),
    NAMES,
    NAMES,
)


def a_group(number: int, pattern: str, environment: str = "default") -> Group:
    request = CreateGroup(name=f"g{number}", pattern=pattern)
    return rules.decide_creation(f"group-{number}", environment, request, 0, 0)


@given(st.lists(PATTERNS, max_size=20), RECORDS)
def test_a_notification_names_every_group_that_matches_the_record(patterns: list[str], record: Record):
    reading = Reading()
    groups = [a_group(number, pattern) for number, pattern in enumerate(patterns)]
    for group in groups:
        reading.add(group)

    meant = {group.id for group in groups if rules.is_delivered(group, record)}

    assert meant <= set(reading.of(key_of(record)))
    if record.kind != "entity":
        assert meant == set(reading.of(key_of(record)))


def test_groups_of_other_environments_and_other_kinds_do_not_look():
    reading = Reading()
    for number, (pattern, environment) in enumerate(
        [("topic:mail", "default"), ("topic:mail", "staging"), ("mail", "default"), ("entity:mail.>", "default")]
    ):
        reading.add(a_group(number, pattern, environment))

    assert list(reading.of("default\ntopic\nmail")) == ["group-0"]
    assert list(reading.of("default\ninvoke\nmail")) == []


def test_a_group_that_changes_its_pattern_reads_the_new_one_only():
    reading = Reading()
    group = a_group(1, "topic:old")
    reading.add(group)
    reading.add(replace(group, pattern="topic:new"))

    assert list(reading.of("default\ntopic\nold")) == []
    assert list(reading.of("default\ntopic\nnew")) == ["group-1"]
    reading.remove(group.id)
    reading.remove(group.id)
    assert list(reading.of("default\ntopic\nnew")) == []

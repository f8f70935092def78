"""`ironflow group` and `ironflow topic` against a real server."""

import uuid

import pytest

from ironflow.sync import Client


@pytest.fixture
def group(ironflow):
    """A new group with manual acks that reads the topic of its name."""
    name = f"g-{uuid.uuid4().hex[:8]}"
    assert ironflow("group", "create", name, f"topic:{name}", "--manual", "--metadata", '{"team": "x"}').code == 0
    return name


def settle(server, name, verb, count=1):
    """Receives events as a member and settles each with `verb`; returns their ids."""
    with Client(server) as client:
        events = client.consumer_groups.join(name)
        found = [next(events) for _ in range(count)]
        for event in found:
            getattr(event, verb)()
        events.close()
        return [event.id for event in found]


def test_a_group_is_created_shown_changed_and_deleted(ironflow, group):
    assert ironflow("group", "create", group, "x").code == 5
    shown = ironflow("group", "get", group)
    assert "max in flight  100\n" in shown.out
    assert "redeliveries   3, after 5s\n" in shown.out
    assert 'metadata       {"team": "x"}\n' in shown.out
    changed = ironflow("group", "update", group, "--max-inflight", "7", "--redeliver-delay", "2s", "--json").json
    assert (changed["max_inflight"], changed["redeliver_delay_ms"]) == (7, 2_000)
    assert ironflow("group", "pause", group).out == f"group {group} is paused\n"
    assert group in ironflow("group", "list", "--status", "paused").out
    assert ironflow("group", "resume", group).out == f"group {group} is active\n"
    refused = ironflow("group", "delete", group)
    assert refused.code != 0
    assert "Add --yes" in refused.err
    assert ironflow("group", "delete", group, "--yes").out == f"deleted group {group}\n"
    assert ironflow("group", "get", group).code != 0


def test_dead_letters_are_shown_replayed_and_purged(ironflow, server, group):
    ironflow("topic", "publish", group, "--data", '{"n": 1}')
    ironflow("topic", "publish", group, "--data", '{"n": 2}')
    ids = settle(server, group, "term", 2)

    shown = ironflow("group", "dead", group)
    assert [each in shown.out for each in (*ids, '{"n": 1}', "terminated by the consumer")] == [True] * 4
    assert ironflow("group", "replay", group).code == 2
    assert ironflow("group", "replay", group, ids[0]).out == "1 dead letters will be redelivered\n"
    assert ironflow("group", "purge", group, "--reason", "nothing of the kind").out == "0 dead letters deleted\n"
    assert ironflow("group", "purge", group, "--all").out == "1 dead letters deleted\n"
    assert settle(server, group, "ack") == [ids[0]]
    assert ironflow("group", "dead", group, "--json").json["dead_letters"] == []


def test_topics_show_their_messages_and_their_groups(ironflow, group):
    ironflow("topic", "publish", group)
    assert f"{group}  " in ironflow("topic", "list").out
    stats = ironflow("topic", "stats", group, "--json").json
    assert (stats["message_count"], stats["consumer_count"], stats["lag"]) == (1, 1, 1)
    assert "lag             1\n" in ironflow("topic", "stats", group).out


def test_a_member_shows_its_events_and_acks_them(ironflow, server, group):
    with Client(server) as client:
        for number in range(2):
            client.publish(group, {"n": number})

    result = ironflow("group", "join", group, "--count", "2")

    assert [line.split()[-1] for line in result.out.splitlines()] == ['{"n":0}', '{"n":1}']
    found = ironflow("group", "get", group, "--json").json
    assert (found["in_flight"], found["waiting"], found["lag"]) == (0, 0, 0)
    assert ironflow("group", "join", "nothing-of-the-kind").code == 4

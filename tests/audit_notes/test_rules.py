"""Rules of the chain of audit notes."""

import pytest

from ironflow.features.audit_notes import rules
from ironflow.features.audit_notes.rules import Broken, Note


def chain(length: int) -> list[Note]:
    notes: list[Note] = []
    before = rules.START
    for position in range(1, length + 1):
        note = Note(f"aud_{position}", "default", position, "", "role.created", "key:1", "{}", position, "")
        notes.append(rules.chained(note, before))
        before = notes[-1].hash
    return notes


def test_a_chain_follows_from_its_beginning_and_from_any_note_of_it():
    notes = chain(4)
    assert rules.first_broken(0, rules.START, notes) is None
    assert rules.first_broken(2, notes[1].hash, notes[2:]) is None


@pytest.mark.parametrize("field", ["id", "environment", "function_id", "event_type", "actor", "payload"])
def test_a_changed_note_is_found(field: str):
    notes = chain(3)
    notes[1] = notes[1]._replace(**{field: "changed"})
    assert rules.first_broken(0, rules.START, notes) == Broken(2, "note 2 was changed, or the one before it")


def test_a_changed_note_with_its_hash_made_anew_is_found_at_the_next():
    notes = chain(3)
    notes[1] = rules.chained(notes[1]._replace(actor="key:2"), notes[0].hash)
    assert rules.first_broken(0, rules.START, notes) == Broken(3, "note 3 was changed, or the one before it")


def test_a_removed_note_is_found():
    notes = chain(3)
    assert rules.first_broken(0, rules.START, [notes[0], notes[2]]) == Broken(2, "note 2 is not there")
    assert rules.first_broken(0, rules.START, notes[1:]) == Broken(1, "note 1 is not there")

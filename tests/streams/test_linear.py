"""The checker of histories finds what is wrong with them, and nothing where nothing is."""

import pytest

from tests.streams.linear import Appended, Refused, Seen, faults

Observed = list[Appended | Refused | Seen]
ONE = Appended(asked=1, answered=4, expected=0, version=1, event_id="a")
TWO = Appended(asked=5, answered=8, expected=-1, version=2, event_id="b")
SOUND: list[tuple[Observed, tuple[str, ...]]] = [
    ([], ()),
    ([ONE, TWO], ("a", "b")),
    ([ONE, TWO, Refused(2, 3, 5, 0), Refused(2, 6, 0, 1), Refused(6, 9, 1, 2)], ("a", "b")),
    ([ONE, TWO, Seen(0, 9, ()), Seen(2, 3, ("a",)), Seen(5, 9, ("a",)), Seen(6, 7, ("a", "b"))], ("a", "b")),
]
WRONG: list[tuple[Observed, tuple[str, ...], str]] = [
    ([ONE, Appended(5, 8, -1, 1, "b")], ("a", "b"), "each once"),
    ([ONE, Appended(5, 8, -1, 3, "b")], ("a", "b"), "each once"),
    ([ONE], ("a", "b"), "not those that were answered"),
    ([ONE, TWO], ("b", "a"), "not those that were answered"),
    ([ONE, Appended(5, 8, 0, 2, "b")], ("a", "b"), "given to an append that expected 0"),
    ([ONE, Refused(5, 8, 1, 1)], ("a",), "expected 1 was refused at version 1"),
    ([ONE, Refused(5, 8, -1, 1)], ("a",), "expected -1 was refused"),
    ([ONE, TWO, Refused(1, 4, 0, 2)], ("a", "b"), "a conflict reported version 2, which was asked for only later"),
    ([ONE, TWO, Refused(9, 10, 0, 1)], ("a", "b"), "a conflict reported version 1 after version 2"),
    ([ONE, TWO, Seen(9, 10, ("a",))], ("a", "b"), "a read reported version 1 after version 2"),
    ([ONE, TWO, Seen(0, 2, ("a", "b"))], ("a", "b"), "a read reported version 2, which was asked for only later"),
    ([ONE, TWO, Seen(5, 9, ("b",))], ("a", "b"), "not the beginning of the stream"),
    ([Appended(5, 8, -1, 1, "a"), Appended(1, 4, -1, 2, "b")], ("a", "b"), "was answered before version 1"),
]


@pytest.mark.parametrize(("observed", "final"), SOUND)
def test_histories_that_happened_one_after_another_are_sound(observed: Observed, final: tuple[str, ...]):
    assert faults(observed, final) == []


@pytest.mark.parametrize(("observed", "final", "message"), WRONG)
def test_histories_that_cannot_have_happened_are_faults(observed: Observed, final: tuple[str, ...], message: str):
    found = faults(observed, final)
    assert any(message in fault for fault in found), found

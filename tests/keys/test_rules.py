"""What keys of runs are, and what becomes of a start whose key a run has."""

import pytest

from ironflow.base.run_keys import IfRunning, InvalidRunKey, check_if_running, check_key
from ironflow.features.keys import rules


@pytest.mark.parametrize(
    ("holder", "if_running", "claim"),
    [
        (None, "", "started"),
        (None, "refuse", "started"),
        (None, "replace", "started"),
        ("run_1", "", "existing"),
        ("run_1", "use", "existing"),
        ("run_1", "refuse", "refused"),
        ("run_1", "replace", "replaces"),
    ],
)
def test_what_becomes_of_a_start(holder: str | None, if_running: IfRunning, claim: str):
    assert rules.decide_claim(holder, if_running) == claim


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "x" * 257, "a\0", "a/b"])
def test_keys_that_are_refused(key: str):
    with pytest.raises(InvalidRunKey):
        check_key(key)


@pytest.mark.parametrize("key", ["ada", "chat:ada.7", "é", "x" * 256, "*"])
def test_keys_that_are_taken(key: str):
    check_key(key)


def test_if_running_is_one_of_three():
    with pytest.raises(InvalidRunKey, match="use, refuse or replace"):
        check_if_running("wait")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("chat:ada", [("chat", "ada")]),
        ("a:b:c", [("a", "b:c"), ("a:b", "c")]),
        ("chat:", []),
        (":ada", []),
        ("run_1", []),
    ],
)
def test_what_a_reference_may_mean(text: str, found: list[tuple[str, str]]):
    assert list(rules.references(text)) == found

"""Choosing dead letters."""

import pytest

from ironflow.features.dead_letters import contract, rules
from ironflow.features.dead_letters.contract import InvalidGroup


@pytest.mark.parametrize(
    "request_",
    [
        contract.ChooseDeadLetters(name="g"),
        contract.ChooseDeadLetters(name="g", all=True, reason="x"),
        contract.ChooseDeadLetters(name="g", all=True, event_ids=["x"]),
    ],
)
def test_a_choice_names_some_dead_letters_or_all(request_: contract.ChooseDeadLetters):
    with pytest.raises(InvalidGroup):
        rules.check_choice(request_)


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 19, "¹"])
def test_a_cursor_is_a_position(cursor: str):
    with pytest.raises(InvalidGroup):
        rules.position_of_cursor(cursor)

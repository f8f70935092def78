"""How lines are asked for."""

import pytest

from ironflow.features.log_lines.in_tx import Place
from ironflow.features.run_logs import rules
from ironflow.features.run_logs.contract import InvalidLogQuery


def test_a_cursor_leads_back_to_its_place():
    assert rules.place_of(rules.cursor_of(Place(2, 7))) == Place(2, 7)
    assert rules.place_of("") < Place(1, 0)


@pytest.mark.parametrize("cursor", ["1", "a.b", "1.2.3", "9" * 40, "1.²", "²2.1", "1.--2", f"1.{2**63}"])
def test_what_is_no_cursor_is_refused(cursor: str):
    with pytest.raises(InvalidLogQuery):
        rules.place_of(cursor)


def test_a_level_that_there_is_not_is_refused():
    with pytest.raises(InvalidLogQuery, match="debug, info, warn or error"):
        rules.level_weight("loud")

"""Whose log-in it is."""

import pytest

from ironflow.features.oidc import rules
from ironflow.features.oidc.contract import OidcRefused


def test_the_state_that_the_browser_keeps_is_accepted():
    rules.check_state({"state": "a"}, "a")


@pytest.mark.parametrize(("begun", "state"), [({}, ""), ({"state": "a"}, "b"), ({}, "é"), ({"state": "a"}, "é")])
def test_another_state_is_refused(begun: dict[str, str], state: str):
    with pytest.raises(OidcRefused):
        rules.check_state(begun, state)

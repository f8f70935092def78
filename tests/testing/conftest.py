"""Tests of the test kit that run pytest in other processes."""

import pytest
from _pytest.pytester import SysModulesSnapshot


@pytest.fixture
def pytester(pytester: pytest.Pytester) -> pytest.Pytester:
    """pytest's own, which would unload what this process has imported first during such a test.

    A module that is loaded anew has classes of its own, and what later tests set in it is not seen by what was loaded
    before.
    """
    pytester._sys_modules_snapshot = SysModulesSnapshot(lambda _: True)  # pyright: ignore[reportPrivateUsage]
    return pytester

"""How far something is."""

import pytest

from ironflow.base.progress import remaining_ms, share


@pytest.mark.parametrize(("done", "remaining"), [(0, None), (10, 3_000), (40, 0), (50, 0)])
def test_what_is_left_takes_as_long_as_what_was_done(done: int, remaining: int | None):
    assert remaining_ms(1_000, done, 40) == remaining


@pytest.mark.parametrize(("done", "total", "part"), [(0, 4, 0.0), (1, 4, 0.25), (5, 4, 1.0), (0, 0, 1.0)])
def test_the_share_is_never_more_than_all(done: int, total: int, part: float):
    assert share(done, total) == part

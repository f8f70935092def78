"""The garbage collector of a program that is a worker."""

import gc
from collections.abc import Iterator

import pytest

from ironflow.sdk.worker.collector import MIDDLE_COLLECTIONS, NEW_OBJECTS, YOUNG_COLLECTIONS, seldom_collected


@pytest.fixture(autouse=True)
def pace() -> Iterator[None]:
    """The collector as Python has it; afterwards that of the tests again."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_a_worker_collects_less_often_and_leaves_out_what_there_was_before() -> None:
    frozen = gc.get_freeze_count()

    with seldom_collected():
        assert gc.get_threshold() == (NEW_OBJECTS, YOUNG_COLLECTIONS, MIDDLE_COLLECTIONS)
        assert gc.get_freeze_count() > frozen

    assert (gc.get_threshold(), gc.get_freeze_count()) == ((700, 10, 10), 0)


@pytest.mark.parametrize("given", [(0, 10, 10), (50_000, 20, 50)])
def test_a_program_that_has_set_the_pace_keeps_it(given: tuple[int, int, int]) -> None:
    gc.set_threshold(*given)

    with seldom_collected():
        assert gc.get_threshold() == given

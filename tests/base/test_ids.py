"""Ids sort by time, are never given twice and never go back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.base.ids import Ids, first_id_at
from ironflow.base.time import FixedClock, SystemClock

AT = 1_767_225_600_000


def chance_of(byte: int) -> Callable[[int], bytes]:
    return lambda count: bytes([byte]) * count


def test_an_id_is_a_prefix_and_26_characters_that_are_safe_everywhere() -> None:
    prefix, _, rest = Ids(FixedClock()).new("run").partition("_")

    assert prefix == "run"
    assert len(rest) == 26
    assert set(rest) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def test_the_same_clock_and_chance_make_the_same_id() -> None:
    assert Ids(FixedClock(AT), chance_of(7)).new("evt") == Ids(FixedClock(AT), chance_of(7)).new("evt")


@given(st.lists(st.integers(-5_000, 5_000), max_size=60), st.integers(0, 255))
def test_a_later_id_is_greater_whatever_the_clock_does(moves: list[int], byte: int) -> None:
    clock = FixedClock(AT)
    ids = Ids(clock, chance_of(byte))
    made: list[str] = []
    for move in moves:
        clock.move(move)
        made.append(ids.new("run"))

    assert made == sorted(set(made))


@given(st.integers(0, 2**47), st.integers(0, 2**47))
def test_ids_of_different_processes_sort_by_their_time(one: int, other: int) -> None:
    first, second = (Ids(FixedClock(at)).new("run") for at in (one, other))

    if one != other:
        assert (first < second) == (one < other)


def test_ids_made_in_many_threads_are_all_different() -> None:
    ids = Ids(SystemClock())
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: ids.new("run"), range(4_000)))

    assert len(set(made)) == 4_000


@pytest.mark.parametrize("byte", [0, 255])
def test_the_first_id_of_a_moment_bounds_a_search_by_time(byte: int) -> None:
    before = Ids(FixedClock(AT - 1), chance_of(byte)).new("run")
    then = Ids(FixedClock(AT), chance_of(byte)).new("run")

    assert before < first_id_at("run", AT) <= then
    assert first_id_at("run", -5) == first_id_at("run", 0)


def test_a_token_is_128_bits_of_chance() -> None:
    assert Ids(FixedClock(), chance_of(0xAB)).token() == "ab" * 16

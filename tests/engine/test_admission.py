"""Which queued runs get slots: none beyond a limit, each that finds all its slots free, in order."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ironflow.engine.admission import Queued, decide_admissions

ADA, BOB, LIMIT, OTHER = "actor:ada", "actor:bob", "key:", "key:other"
KEYS = st.sampled_from([(LIMIT,), (ADA,), (ADA, LIMIT), (BOB, LIMIT), (ADA, OTHER), (BOB, OTHER)])
FREE = st.fixed_dictionaries({key: st.integers(-1, 3) for key in (ADA, BOB, LIMIT, OTHER)})
QUEUES = st.lists(st.tuples(st.integers(0, 5), KEYS), max_size=12).map(
    lambda given: [Queued(ready_at, f"run_{number}", keys) for number, (ready_at, keys) in enumerate(given)]
)


def test_a_run_gets_both_slots_or_none():
    first, second, third = (
        Queued(1, "run_1", (ADA, LIMIT)),
        Queued(2, "run_2", (BOB, LIMIT)),
        Queued(3, "run_3", (BOB,)),
    )

    assert decide_admissions([first, second, third], {ADA: 0, BOB: 1, LIMIT: 1}) == [second]
    # The second lacks the limit; the slot of its actor is left to the third.
    assert decide_admissions([third, second, first], {ADA: 1, BOB: 1, LIMIT: 1}) == [first, third]


@given(queue=QUEUES, free=FREE)
def test_no_limit_is_exceeded_and_each_run_left_lacks_a_slot(queue: list[Queued], free: dict[str, int]):
    admitted = decide_admissions(queue, free)

    taken = Counter(key for each in admitted for key in each.keys)
    assert all(taken[key] <= max(left, 0) for key, left in free.items())
    assert len(set(admitted)) == len(admitted)
    for each in set(queue) - set(admitted):
        assert any(free[key] - taken[key] <= 0 for key in each.keys)


@given(queue=QUEUES, free=FREE)
def test_no_run_with_all_its_slots_free_is_overtaken(queue: list[Queued], free: dict[str, int]):
    admitted = decide_admissions(queue, free)

    assert admitted == sorted(admitted)
    for each in set(queue) - set(admitted):
        earlier = Counter(key for other in admitted if other < each for key in other.keys)
        assert any(free[key] - earlier[key] <= 0 for key in each.keys)


@given(queue=QUEUES, free=FREE)
def test_a_second_look_admits_no_other_run(queue: list[Queued], free: dict[str, int]):
    admitted = decide_admissions(queue, free)
    taken = Counter(key for each in admitted for key in each.keys)

    rest = [each for each in queue if each not in admitted]
    assert decide_admissions(rest, {key: left - taken[key] for key, left in free.items()}) == []

"""What is decided about SQL projections, as tables of cases."""

from dataclasses import replace

import pytest

from ironflow.features.sql_projections.contract import InvalidSqlProjection
from ironflow.features.sql_projections.rules import (
    RETRY_DELAYS_MS,
    Created,
    Definition,
    Generation,
    Projection,
    Status,
    check_name,
    decide_creation,
    decide_retry_at,
    decide_swap,
    handler_of,
    is_parameter,
    place_of,
    status_of,
)


def definition(*handlers: str, events: tuple[str, ...] = (), tables: str = "a") -> Definition:
    return Definition(
        table_sql=tables,
        tables=(tables,),
        table_names=(tables,),
        events=events or handlers,
        handlers=dict.fromkeys(handlers, ""),
        statements={name: (name, ()) for name in handlers},
    )


def generation(position: int, *, target: int = 0, error: str = "", retry_at: int = 0) -> Generation:
    return Generation("default", "p", 1, "place", definition("e"), position, target, 0, 0, 0, retry_at, 0, error)


def projection(serving: Generation, building: Generation | None = None, paused: bool = False) -> Projection:
    return Projection("default", "p", "", serving, building, 1, paused, 0, 0)


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("orders", True), ("a-b_c9", True), ("_x", True), ("9a", False), ("", False), ("a b", False), ("a" * 65, False)],
)
def test_names(name: str, accepted: bool):
    if accepted:
        check_name(name)
    else:
        with pytest.raises(InvalidSqlProjection):
            check_name(name)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("data", True),
        ("data.a.b", True),
        ("event.data.a", True),
        ("metadata.x", True),
        ("seq", True),
        ("entity_id", True),
        ("data.", False),
        ("amount", False),
        ("secrets.x", False),
    ],
)
def test_parameters(name: str, there: bool):
    assert is_parameter(name) is there


@pytest.mark.parametrize(
    ("event", "handler"),
    [("a.b", "a.b"), ("a.c", "a.*"), ("a.c.d", "a.>"), ("b", None), ("left.out", None)],
)
def test_the_handler_of_an_event(event: str, handler: str | None):
    found = handler_of(definition("a.b", "a.*", "a.>", "left.out", events=("a.>",)), event)
    assert (found and found[0]) == handler


@pytest.mark.parametrize(
    ("before", "after", "same", "expected"),
    [
        (None, definition("e"), False, "created"),
        (definition("e"), definition("e"), True, "unchanged"),
        (definition("e"), definition("e"), False, "updated"),
        (definition("e"), definition("e", "f"), True, "updated"),
        (definition("e"), definition("e", events=("e", "f")), True, "updated"),
        (definition("e"), definition("e", tables="b"), True, "rebuilding"),
    ],
)
def test_creating_again(before: Definition | None, after: Definition, same: bool, expected: Created):
    assert decide_creation(before, after, same) == expected


def test_a_failed_statement_is_tried_three_times_more():
    assert [decide_retry_at(failures, 100) for failures in (1, 2, 3, 4)] == [
        *(100 + delay for delay in RETRY_DELAYS_MS),
        None,
    ]


@pytest.mark.parametrize(
    ("serving", "building", "head", "expected"),
    [
        (10, None, 10, False),
        (10, generation(9, target=9), 10, False),
        (10, generation(10, target=9), 10, True),
        (12, generation(11, target=10), 20, False),
        (5, generation(10, target=10), 20, True),
        (5, generation(10, target=10, error="no"), 20, False),
        (0, generation(0, target=0), 0, True),
    ],
)
def test_a_new_version_takes_over_with_all_that_readers_have_seen(
    serving: int, building: Generation | None, head: int, expected: bool
):
    found = projection(generation(serving), building)
    assert decide_swap(found, head) is expected
    assert decide_swap(replace(found, paused=True), head) is False


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (projection(generation(1)), "active"),
        (projection(generation(1), paused=True), "paused"),
        (projection(generation(1, error="no")), "error"),
        (projection(generation(1, error="no"), paused=True), "paused"),
        (projection(generation(1, error="again", retry_at=5)), "active"),
        (projection(generation(1), generation(0)), "rebuilding"),
        (projection(generation(1), generation(0, error="no")), "error"),
        (projection(generation(1, target=2)), "rebuilding"),
        (projection(generation(2, target=2)), "active"),
    ],
)
def test_statuses(found: Projection, status: Status):
    assert status_of(found) == status


def test_a_place_has_a_short_name_of_its_own():
    places = {
        place_of(environment, name, generation)
        for environment in ("default", "staging")
        for name in ("Orders-2", "orders_2", "x" * 64)
        for generation in (1, 2)
    }
    assert len(places) == 12
    assert all(len(place) < 40 and place.replace("_", "").isalnum() and place == place.lower() for place in places)

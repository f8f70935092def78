"""What a projection of a program is, and what its handler is called with."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from ironflow.base.pattern import InvalidPattern
from ironflow.base.time import to_datetime
from ironflow.features.projections.contract import InvalidProjection
from ironflow.projection import ProjectionEvent, create_projection, projection
from ironflow.sdk.projections.fold import by_partition, deliver, fold
from ironflow.sdk.values.upcasting import UpcasterRegistry


def event(seq: int, data: Any = None, *, partition: str = "__global__") -> ProjectionEvent:
    return ProjectionEvent(
        id=f"evt_{seq}", name="order.placed", data=data, seq=seq, timestamp=to_datetime(0), partition=partition
    )


def counting(state: dict[str, int], event: ProjectionEvent) -> dict[str, int]:
    return {"count": state["count"] + event.data}


def test_the_kept_form_and_the_short_form_define_the_same():
    kept = create_projection(
        name="totals", events=["order.*"], initial_state=lambda: {"count": 0}, handler=counting,
        partition_key="data.c", batch_size=10, max_retries=5,
    )  # fmt: skip

    @projection(
        "totals", events=["order.*"], initial_state={"count": 0}, partition_key="data.c", batch_size=10, max_retries=5
    )
    def short(state: Any, event: ProjectionEvent) -> Any:
        return counting(state, event)

    for each in (kept, short):
        assert each.registration() == kept.registration()
        assert (each.mode, each.batch_size, each.max_retries) == ("managed", 10, 5)
        assert each.initial_state is not None
        assert each.initial_state() == {"count": 0}
        assert each({"count": 1}, event(1, 2)) == {"count": 3}


def test_without_an_initial_state_a_projection_is_external():
    mailer = create_projection(name="mailer", events=["order.placed"], handler=lambda event: None)
    assert (mailer.mode, mailer.registration().mode) == ("external", "external")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"events": []}, "names no events"),
        ({"events": ["order placed"]}, "'order placed' never matches.*as in 'order.placed'"),
        ({"batch_size": 0}, "batch_size of 0"),
        ({"batch_size": 1001}, "batch_size of 1001"),
        ({"max_retries": -1}, "max_retries of -1"),
        ({"mode": "external"}, "has no initial_state"),
        ({"initial_state": None, "handler": lambda event: None, "mode": "managed"}, "needs an initial_state"),
        ({"initial_state": None, "handler": lambda event: None, "partition_key": "data.c"}, "has no partitions"),
        ({"handler": lambda event: None}, r"write \(state, event\)"),
        ({"initial_state": None, "handler": lambda: None}, r"write \(event\)"),
    ],
)
def test_a_projection_that_cannot_be_is_refused_where_it_is_defined(given: dict[str, Any], message: str):
    with pytest.raises(InvalidProjection, match=message):
        create_projection(**{"name": "p", "events": ["a"], "initial_state": dict, "handler": counting, **given})


def test_a_pattern_that_cannot_be_is_refused_where_it_is_defined():
    with pytest.raises(InvalidPattern):
        create_projection(name="p", events=["a.>.b"], handler=lambda event: None)


def test_events_are_read_as_attributes_and_by_name():
    given = event(1, {"a": 1})
    assert (given["data"], given["name"], given.data) == ({"a": 1}, "order.placed", {"a": 1})
    with pytest.raises(KeyError):
        given["nothing"]


async def test_a_handler_that_wants_it_gets_the_context():
    seen: list[Any] = []

    def handler(state: Any, event: ProjectionEvent, ctx: Any) -> Any:
        seen.append((ctx.projection.name, ctx.projection.version, ctx.event.seq, ctx.logger.name))
        return state

    definition = create_projection(name="p", events=["a"], initial_state=dict, handler=handler, version=4)
    await fold(definition, None, [event(7)])

    assert seen == [("p", 4, 7, "ironflow.projection.p")]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_batch_is_folded_from_the_saved_state(is_async: bool):
    async def later(state: Any, event: ProjectionEvent) -> Any:
        return counting(state, event)

    definition = create_projection(
        name="p", events=["a"], initial_state={"count": 0}, handler=later if is_async else counting
    )

    first = await fold(definition, None, [event(1, 1), event(2, 2)])
    second = await fold(definition, first.state, [event(3, 3)])

    assert [msgspec.json.decode(each.state or b"") for each in (first, second)] == [{"count": 3}, {"count": 6}]
    assert (second.last, second.failure) == (event(3, 3), None)


async def test_what_comes_before_a_failing_event_is_kept_whatever_the_handler_did_to_the_state():
    def spoiling(state: Any, event: ProjectionEvent) -> Any:
        state["seen"].append(event.seq)
        if event.seq == 3:
            raise ValueError("no such customer")
        return state

    definition = create_projection(name="p", events=["a"], initial_state={"seen": []}, handler=spoiling)

    folded = await fold(definition, None, [event(1), event(2), event(3), event(4)])

    assert (msgspec.json.decode(folded.state or b""), folded.last) == ({"seen": [1, 2]}, event(2))
    assert folded.failure is not None
    assert folded.failure.event == event(3)
    assert folded.failure.message == "projection 'p' at event evt_3 (order.placed): ValueError: no such customer"


@pytest.mark.parametrize("answer", [None, float("nan"), object()])
async def test_a_state_that_is_none_or_no_json_is_a_failure(answer: Any):
    definition = create_projection(name="p", events=["a"], initial_state=dict, handler=lambda state, event: answer)
    folded = await fold(definition, None, [event(1)])
    assert (folded.state, folded.failure is None) == (None, False)


async def test_an_external_handler_is_given_event_after_event_up_to_a_failing_one():
    seen: list[int] = []

    def send(event: ProjectionEvent) -> None:
        if event.seq == 3:
            raise OSError("mail server is down")
        seen.append(event.seq)

    definition = create_projection(name="p", events=["a"], handler=send)
    done = await deliver(definition, [event(1), event(2), event(3), event(4)])

    assert (seen, done.last, done.failure is not None and done.failure.event) == ([1, 2], event(2), event(3))


def test_a_batch_is_split_by_partition_in_the_order_in_which_they_come():
    batch = [event(1, partition="b"), event(2, partition="a"), event(3, partition="b")]
    assert [(key, [each.seq for each in events]) for key, events in by_partition(batch).items()] == [
        ("b", [1, 3]),
        ("a", [2]),
    ]


def renamed(data: dict[str, int]) -> dict[str, int]:
    if "cents" not in data:
        raise LookupError("an order without cents")
    return {"total": data["cents"]}


async def test_events_are_brought_to_their_latest_version_before_the_handler_sees_them():
    upcasters = UpcasterRegistry()
    upcasters.register("order.placed", 1, 2, renamed)
    seen: list[tuple[int, Any]] = []

    @projection("totals", events=["order.placed"], initial_state={"total": 0})
    def totals(state: dict[str, int], event: ProjectionEvent) -> dict[str, int]:
        seen.append((event.version, event.data))
        return {"total": state["total"] + event.data["total"]}

    old, new = event(1, {"cents": 5}), replace(event(2, {"total": 7}), version=2)
    folded = await fold(totals, None, [old, new], upcasters)

    assert folded.state == msgspec.Raw(b'{"total":12}')
    assert seen == [(2, {"total": 5}), (2, {"total": 7})]


async def test_an_upcaster_that_raises_fails_its_event_as_the_handler_would():
    upcasters = UpcasterRegistry()
    upcasters.register("order.placed", 1, 2, renamed)
    folded = await fold(
        create_projection(name="n", events=["order.placed"], initial_state={"count": 0}, handler=counting),
        None,
        [replace(event(1, 5), version=2), event(2, {})],
        upcasters,
    )
    assert (folded.last and folded.last.seq, folded.state) == (1, msgspec.Raw(b'{"count":5}'))
    assert folded.failure is not None
    assert "an order without cents" in folded.failure.message


async def test_deliveries_of_an_external_projection_are_brought_up_too():
    upcasters = UpcasterRegistry()
    upcasters.register("order.placed", 1, 2, renamed)
    seen: list[Any] = []
    mailer = create_projection(name="mailer", events=["order.placed"], handler=lambda event: seen.append(event.data))
    await deliver(mailer, [event(1, {"cents": 5})], upcasters)
    assert seen == [{"total": 5}]

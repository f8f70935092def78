"""Upcasters and event definitions: old events reach handlers in the shape of today."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from ironflow.base.errors import ValidationError
from ironflow.sdk.definition.function import function
from ironflow.sdk.durable.execution import Execution
from ironflow.sdk.durable.job.event import Event
from ironflow.sdk.durable.job.report import Completed, Failed
from ironflow.sdk.values.json_schema import schema_of
from ironflow.upcaster import EventDefinition, UpcasterChainError, UpcasterRegistry, define_event
from ironflow.worker import Worker
from tests.sdk.durable.jobs import a_job


def add_currency(data: Any) -> Any:
    return {**data, "currency": "EUR"}


def add_items(data: Any) -> Any:
    return {**data, "items": []}


def three_versions() -> UpcasterRegistry:
    registry = UpcasterRegistry()
    registry.register("order.placed", 1, 2, add_currency)
    registry.register("order.placed", 2, 3, add_items)
    return registry


def test_data_goes_through_the_whole_chain():
    registry = three_versions()

    assert registry.upcast("order.placed", {"id": 1}, 1, 3) == {"id": 1, "currency": "EUR", "items": []}
    assert registry.upcast("order.placed", {"id": 1}, 1, 2) == {"id": 1, "currency": "EUR"}
    assert registry.upcast_to_latest("order.placed", {"id": 1}, 2) == {"id": 1, "items": []}
    assert registry.get_latest_version("order.placed") == 3


def test_unknown_events_and_versions_that_are_not_older_pass_unchanged():
    registry = three_versions()

    assert registry.upcast("order.paid", {"id": 1}, 1, 7) == {"id": 1}
    assert registry.upcast_to_latest("order.placed", {"id": 1}, 3) == {"id": 1}
    assert registry.upcast_to_latest("order.placed", {"id": 1}, 4) == {"id": 1}
    assert registry.get_latest_version("order.paid") is None


def test_keywords_and_the_decorator_register_too():
    registry = UpcasterRegistry()
    registry.register(event_name="a", from_version=1, to_version=2, fn=add_currency)

    @registry.register("a", 2, 3)
    def last(data: Any) -> Any:
        return {**data, "seen": True}

    assert registry.upcast("a", {}, 1) == {"currency": "EUR", "seen": True}
    assert last({}) == {"seen": True}


def test_definitions_make_a_chain():
    registry = UpcasterRegistry(
        [
            define_event(name="a", version=1),
            define_event(name="a", version=2, upcast=add_currency),
            define_event(name="a", version=3, upcast=add_items),
        ]
    )

    assert registry.upcast_event("a", {"id": 1}, 1) == {"id": 1, "currency": "EUR", "items": []}


def test_a_gap_is_refused_when_the_registry_is_made():
    with pytest.raises(UpcasterChainError, match="no upcaster from version 1"):
        UpcasterRegistry([define_event(name="a", version=1), define_event(name="a", version=2)])
    with pytest.raises(UpcasterChainError, match="no upcaster from version 2"):
        UpcasterRegistry(
            [
                define_event(name="a", version=2, upcast=add_currency),
                define_event(name="a", version=4, upcast=add_items),
            ]
        )


def test_a_gap_is_refused_when_a_worker_is_made():
    registry = UpcasterRegistry()
    registry.register("a", 1, 2, add_currency)
    registry.register("a", 3, 4, add_items)

    @function("f", on="a")
    async def f(ctx: Any) -> None: ...

    with pytest.raises(UpcasterChainError, match="no upcaster from version 2"):
        Worker(functions=[f], upcasters=registry)


def test_a_version_before_the_chain_is_an_error_when_it_is_met():
    registry = UpcasterRegistry()
    registry.register("a", 2, 3, add_items)
    registry.check()

    with pytest.raises(UpcasterChainError, match="from version 1 to 3"):
        registry.upcast("a", {}, 1, 3)


def test_a_step_that_leads_beyond_the_wanted_version_is_no_way_to_it():
    registry = UpcasterRegistry()
    registry.register("a", 1, 3, add_items)

    with pytest.raises(UpcasterChainError):
        registry.upcast("a", {}, 1, 2)


@pytest.mark.parametrize(
    ("from_version", "to_version", "fn"), [(2, 2, add_items), (3, 1, add_items), (0, 1, add_items), (1, 2, "text")]
)
def test_what_is_no_step_is_refused(from_version: int, to_version: int, fn: Any):
    with pytest.raises(ValidationError):
        UpcasterRegistry().register("a", from_version, to_version, fn)


def test_two_steps_from_one_version_are_refused():
    registry = three_versions()
    with pytest.raises(ValidationError, match="already"):
        registry.register("order.placed", 1, 2, add_items)


def test_an_upcaster_that_has_to_be_awaited_is_refused():
    async def later(data: Any) -> Any:
        return data

    with pytest.raises(ValidationError, match="plain function"):
        define_event(name="a", version=2, upcast=later)


def test_version_1_has_nothing_to_come_from():
    with pytest.raises(ValidationError, match="no version before"):
        define_event(name="a", version=1, upcast=add_items)


def test_apply_gives_the_event_its_latest_version():
    from ironflow.base.time import to_datetime

    event = Event(id="e", name="order.placed", data={"id": 1}, timestamp=to_datetime(0), version=1)
    latest = three_versions().apply(event)

    assert (latest.version, latest.data) == (3, {"id": 1, "currency": "EUR", "items": []})
    assert three_versions().apply(latest) is latest


class Order(msgspec.Struct):
    id: int
    currency: str
    items: list[str]


async def outcome_of(handler: Any, upcasters: UpcasterRegistry | None, **event: Any) -> Any:
    return await Execution(handler, a_job(**event), upcasters=upcasters).run()


@function("typed", on="order.placed")
async def typed(ctx: Any, order: Order) -> Any:
    return [order, ctx.event.version]


async def test_a_handler_gets_old_data_in_the_type_of_today():
    done = await outcome_of(typed, three_versions(), name="order.placed", data={"id": 1}, version=1)

    assert isinstance(done, Completed)
    assert msgspec.json.decode(done.output) == [{"id": 1, "currency": "EUR", "items": []}, 3]


async def test_a_gap_that_is_met_fails_the_run_without_another_attempt():
    registry = UpcasterRegistry()
    registry.register("order.placed", 2, 3, add_items)
    failed = await outcome_of(typed, registry, name="order.placed", data={"id": 1}, version=1)

    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.error.retryable) == ("UPCASTER_CHAIN_ERROR", False)


async def test_what_an_upcaster_raises_fails_the_attempt():
    registry = UpcasterRegistry()
    registry.register("order.placed", 1, 2, lambda data: data["missing"])
    failed = await outcome_of(typed, registry, name="order.placed", data={"id": 1}, version=1)

    assert isinstance(failed, Failed)
    assert failed.error.retryable


async def test_data_that_does_not_fit_the_functions_schema_fails_the_run_without_another_attempt():
    failed = await outcome_of(typed, None, name="order.placed", data={"id": "one"})

    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.error.retryable) == ("VALIDATION_ERROR", False)


async def test_redacted_data_fits_no_schema():
    class Anything(msgspec.Struct):
        note: str = ""

    @function("lenient", schema=Anything)
    async def lenient(ctx: Any) -> Any:
        return ctx.event.data

    failed = await outcome_of(lenient, None, data={"$redacted": True, "sha256": "00"})

    assert isinstance(failed, Failed)
    assert failed.error.code == "VALIDATION_ERROR"
    assert "redacted" in failed.error.message


@dataclass
class ReportChannel:
    sku: str
    count: int = 1


class Basket(msgspec.Struct):
    lines: list[ReportChannel]


def test_types_become_json_schema():
    schema = schema_of(Basket)

    assert schema["$defs"]["ReportChannel"]["required"] == ["sku"]
    assert schema["$defs"]["Basket"]["properties"]["lines"]["items"] == {"$ref": "#/$defs/ReportChannel"}
    assert schema["$ref"] == "#/$defs/Basket"
    assert schema_of(list[int]) == {"type": "array", "items": {"type": "integer"}}


def test_a_type_without_a_schema_is_refused():
    class Plain:
        pass

    with pytest.raises(ValidationError, match="Plain"):
        schema_of(Plain)


def test_a_definition_has_the_schema_of_its_type():
    assert define_event(name="a", type=list[int]).json_schema() == {"type": "array", "items": {"type": "integer"}}
    assert define_event(name="a", schema={"type": "object"}).json_schema() == {"type": "object"}
    assert define_event(name="a").json_schema() is None
    with pytest.raises(ValidationError, match="type="):
        define_event(name="a", schema=Basket)  # pyright: ignore[reportArgumentType]


def test_a_function_may_be_triggered_by_a_definition():
    defined: EventDefinition = define_event(name="order.placed", version=2, upcast=add_items)

    @function("f", on=[defined, "order.paid"])
    async def f(ctx: Any) -> None: ...

    assert [each.event for each in f.settings.triggers] == ["order.placed", "order.paid"]

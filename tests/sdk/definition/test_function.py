"""`@function`: the registration of a definition, and definitions that are refused at once."""

import dataclasses
from datetime import timedelta
from typing import TypedDict

import msgspec
import pytest

from ironflow import CancelOn, Concurrency, Debounce, Retry, Throttle, function
from ironflow.base.spelling import message_to_json
from ironflow.features.functions.contract import ExecutionMode, InvalidFunction, Trigger
from ironflow.sdk.definition.function import CODE_HASH, FunctionDefinition
from ironflow.sdk.durable.job.report import Completed, Failed
from tests.sdk.durable.jobs import an_execution


async def handler(ctx):
    return "ran"


def settings_of(**given):
    return function("f", **given)(handler).settings


def test_the_short_form_and_the_dict_form_are_equal():
    short = function(
        "f",
        on=["order.*", "order.item.>"],
        when="data.total > 100",
        cron="0 9 * * *",
        tz="Europe/Berlin",
        retry=Retry(max_attempts=5, initial_delay="2s", backoff_factor=3, max_delay=60, on_exhausted="pause"),
        concurrency=Concurrency(10, key="customerId"),
        debounce=Debounce("5s", key="id", max_wait=timedelta(minutes=1)),
        throttle=Throttle(3, "1m", key="id"),
        cancel_on=[CancelOn("order.cancelled", "orderId")],
    )(handler)
    kept = function(
        id="f",
        triggers=[
            {"event": "order.*", "expression": "data.total > 100"},
            {"event": "order.item.>", "expression": "data.total > 100"},
            {"cron": "0 9 * * *", "timezone": "Europe/Berlin"},
        ],
        retry={
            "max_attempts": 5,
            "initial_delay": 2,
            "backoff_factor": 3.0,
            "max_delay": "1m",
            "on_exhausted": "pause",
        },
        concurrency={"limit": 10, "key": "customerId"},
        debounce={"period": 5, "key": "id", "max_wait": 60},
        throttle={"limit": 3, "period": 60, "key": "id"},
        cancel_on=[{"event": "order.cancelled", "match": "orderId"}],
    )(handler)

    assert short.settings == kept.settings
    assert message_to_json(short.settings) == message_to_json(kept.settings)
    assert short.settings.triggers[0] == Trigger(event="order.*", expression="data.total > 100")
    retry = short.settings.retry
    assert retry is not None
    assert (retry.max_attempts, retry.initial_delay_ms, retry.backoff_factor, retry.max_delay_ms) == (
        5,
        2000,
        3,
        60_000,
    )


def test_every_setting_reaches_the_server():
    settings = settings_of(
        name="F",
        description="does it",
        timeout="10m",
        actor_key="data.id",
        secrets=["KEY"],
        recording_profile="steps",
        recording_retention="30d",
        pause_behavior="release",
        mode="push",
        metadata={"team": {"name": "shop"}},
        circuit_breaker={"failure_threshold": 3, "open_duration": "1m"},
    )

    assert (settings.name, settings.description, settings.timeout_ms) == ("F", "does it", 600_000)
    assert (settings.actor_key, settings.secrets, settings.pause_behavior) == ("data.id", ["KEY"], "release")
    assert (settings.recording, settings.recording_profile, settings.recording_retention) == (True, "steps", "30d")
    assert settings.preferred_mode is ExecutionMode.PUSH
    assert bytes(settings.metadata["team"]) == b'{"name":"shop"}'
    assert settings.circuit_breaker is not None
    assert settings.circuit_breaker.open_duration_ms == 60_000


def test_a_function_without_triggers_runs_only_when_invoked():
    assert settings_of().triggers == []


def test_a_registration_carries_the_hash_of_the_handlers_source():
    def one(ctx):
        return 1

    def other(ctx):
        return 2

    hashes = [bytes(function("f")(each).registration().metadata[CODE_HASH]) for each in (one, other, one)]

    assert hashes[0] == hashes[2] != hashes[1]
    assert len(msgspec.json.decode(hashes[0])) == 16


def test_the_hosting_mode_applies_where_the_settings_name_none():
    plain, pushed = function("f")(handler), function("f", mode="push")(handler)

    assert plain.registration(ExecutionMode.PULL).preferred_mode is ExecutionMode.PULL
    assert pushed.registration(ExecutionMode.PULL).preferred_mode is ExecutionMode.PUSH


async def test_a_definition_can_be_called_like_its_handler():
    definition = function("f")(handler)

    assert isinstance(definition, FunctionDefinition)
    assert await definition(None) == "ran"


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"id": ""}, "an id is text without spaces"),
        ({"id": "a b"}, "an id is text without spaces"),
        ({"id": "a*"}, "an id is text without spaces"),
        ({"triggers": [{}]}, "neither an event nor a cron"),
        ({"triggers": [{"event": " ", "cron": ""}]}, "neither an event nor a cron"),
        ({"triggers": [{"event": "a", "cron": "0 9 * * *"}]}, "an event and a cron"),
        ({"triggers": [{"event": "a", "when": "x"}]}, "a trigger has no when"),
        ({"triggers": [{"cron": "0 9 * * *", "expression": "x"}]}, "has an expression but no event"),
        ({"triggers": [{"event": 7}]}, "write text"),
        ({"on": ""}, "a trigger is ''"),
        ({"on": "a.>.b"}, "not at the end"),
        ({"when": "data.x"}, "there is no on="),
        ({"tz": "UTC"}, "there is no cron="),
        ({"cron": "0 9 * *"}, "4 fields"),
        ({"cron": "0 25 * * *"}, "is not a cron expression"),
        ({"cron": "0 9 * * *", "tz": "Mars/Base"}, "is not a time zone"),
        ({"timeout": "soon"}, "timeout: 'soon' is not a duration"),
        ({"timeout": 0}, "timeout is 0; it is longer than nothing"),
        ({"step_timeout": "-1s"}, "is not a duration"),
        ({"retry": {"max_attempts": 0}}, "max_attempts is 0"),
        ({"retry": {"max_attempts": True}}, "max_attempts is True"),
        ({"retry": {"max_attempts": 10**9}}, "1000000 is the most"),
        ({"on": "order placed"}, "'order placed' never matches: no event's name contains ' '. Separate its parts"),
        ({"on": "order.\tplaced"}, "never matches"),
        (
            {"on": "order..placed"},
            "'order..placed' never matches: no event's name has an empty part. Write 'order.placed'",
        ),
        ({"on": "order.*."}, "never matches"),
        ({"on": "$order"}, "reserved"),
        ({"on": "o" * 257}, "over 256 characters"),
        ({"cancel_on": [{"event": "order cancelled", "match": "id"}]}, "as in 'order.cancelled'"),
        ({"retry": {"attempts": 3}}, "Retry has no setting attempts"),
        ({"retry": {"backoff_factor": 0.5}}, "backoff_factor is 0.5"),
        ({"retry": {"backoff_factor": float("nan")}}, "backoff_factor is nan"),
        ({"retry": {"initial_delay": "1h", "max_delay": "1m"}}, "longer than max_delay"),
        ({"retry": {"on_exhausted": "give up"}}, "write 'fail' or 'pause'"),
        ({"retry": 3}, "3 is no Retry"),
        ({"concurrency": {"limit": 0}}, "limit is 0"),
        ({"concurrency": {"key": "x"}}, "Concurrency {'key': 'x'} is not complete"),
        ({"debounce": {"period": "10ms"}}, "1s is the least"),
        ({"debounce": {"period": "10s", "max_wait": "5s"}}, "shorter than period"),
        ({"throttle": {"limit": 1, "period": 0.1}}, "1s is the least"),
        ({"cancel_on": [{"event": "", "match": "id"}]}, "event is empty"),
        ({"cancel_on": [{"event": "a", "match": "id"}] * 2}, "the same thing twice"),
        ({"recording_retention": "1y"}, "recording_retention is one of"),
        ({"recording_profile": "everything"}, "recording_profile is"),
        ({"pause_behavior": "wait"}, "hold or release"),
        ({"mode": "both"}, "pull or push"),
        ({"secrets": "KEY"}, "a list of names"),
        ({"schema": {"type": "object"}}, "schema is a type"),
    ],
    ids=str,
)
def test_what_no_server_would_accept_is_refused_at_once(given, fault):
    with pytest.raises(InvalidFunction, match="function ") as raised:
        function(**{"id": "f", **given})

    assert fault in raised.value.message


@pytest.mark.parametrize(
    "bad", [lambda: None, lambda a, b, c: None, lambda *, ctx: None, lambda ctx, *, x: None], ids=range(4)
)
def test_a_handler_takes_the_context_and_perhaps_the_data(bad):
    with pytest.raises(InvalidFunction, match="write \\(ctx\\) or \\(ctx, data\\)"):
        function("f")(bad)


# Typed data.


class Item(msgspec.Struct):
    sku: str
    count: int = 1


class OrderStruct(msgspec.Struct):
    items: list[Item]


@dataclasses.dataclass
class OrderClass:
    items: list[Item]


class OrderDict(TypedDict):
    items: list[Item]


class Model:
    """Like a pydantic model, which the SDK knows by its methods."""

    def __init__(self, items):
        self.items = items

    @classmethod
    def model_validate(cls, value):
        if not isinstance(value.get("items"), list):
            raise ValueError("items: a list is required")
        return cls([Item(**each) for each in value["items"]])


async def struct_handler(ctx, order: OrderStruct):
    return order.items[0].sku


async def text_handler(ctx, order: "OrderClass"):
    return order.items[0].sku


async def dict_handler(ctx, order: OrderDict):
    return order["items"][0].sku


async def model_handler(ctx, order: Model):
    return order.items[0].sku


async def plain_handler(ctx, order):
    return order["items"][0]["sku"]


TYPED = [struct_handler, text_handler, dict_handler, model_handler]


@pytest.mark.parametrize("typed", [*TYPED, plain_handler], ids=lambda each: each.__name__)
async def test_data_is_read_as_the_type_of_the_second_parameter(typed):
    outcome = await an_execution(typed, data={"items": [{"sku": "x"}], "note": "unknown"}).run()

    assert isinstance(outcome, Completed)
    assert bytes(outcome.output) == b'"x"'


@pytest.mark.parametrize("typed", TYPED, ids=lambda each: each.__name__)
@pytest.mark.parametrize("data", [{}, {"items": 7}], ids=str)
async def test_data_of_another_shape_fails_the_run_for_good(typed, data):
    outcome = await an_execution(typed, data=data).run()

    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.retryable) == ("VALIDATION_ERROR", False)
    assert "items" in outcome.error.message


async def test_a_schema_types_the_data_of_a_handler_with_one_parameter():
    async def one(ctx):
        return ctx.event.data.items[0].sku

    async def two(ctx, order):
        assert order is ctx.event.data
        return order.items[0].sku

    for each in (one, two):
        outcome = await an_execution(each, settings={"schema": OrderStruct}, data={"items": [{"sku": "x"}]}).run()
        assert isinstance(outcome, Completed), outcome


async def test_a_clock_tick_is_not_validated():
    async def tick(ctx, order: OrderStruct):
        return order

    outcome = await an_execution(tick, source="cron", data=None).run()

    assert isinstance(outcome, Completed)
    assert bytes(outcome.output) == b"null"


def test_a_type_that_cannot_be_found_is_named_at_once():
    def lost(ctx, order: "Nowhere"):  # noqa: F821 # pyright: ignore[reportUndefinedVariable]
        pass

    with pytest.raises(InvalidFunction, match="Nowhere"):
        _ = function("f")(lost).read_data

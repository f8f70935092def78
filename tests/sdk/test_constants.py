"""Names and values of the documents: constants, helpers and patterns."""

from datetime import timedelta
from typing import Any

import pytest

import ironflow
from ironflow import constants, core, patterns
from ironflow.base.errors import DeadlineExceeded, InvalidArgument
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.features.runs.contract import RunStatus
from ironflow.features.subscriptions.rules import pattern_of
from ironflow.log.topics import topic_pattern
from ironflow.sdk.wire.endpoint import DEFAULT_URL

# As the page of the core package has them.
DOCUMENTED: dict[str, Any] = {
    "DEFAULT_PORT": 9123,
    "DEFAULT_HOST": "localhost",
    "DEFAULT_SERVER_URL": "http://localhost:9123",
    "DEFAULT_WS_URL": "ws://localhost:9123/ws",
    "DEFAULT_ENVIRONMENT": "default",
    "DEFAULT_TIMEOUTS": {"CLIENT": 30_000, "FUNCTION": 600_000, "TRIGGER_SYNC": 30_000},
    "DEFAULT_RETRY": {"MAX_ATTEMPTS": 3, "INITIAL_DELAY_MS": 1000, "BACKOFF_FACTOR": 2.0, "MAX_DELAY_MS": 300_000},
    "DEFAULT_CLIENT_RETRY": {
        "MAX_ATTEMPTS": 3,
        "INITIAL_DELAY_MS": 100,
        "BACKOFF_MULTIPLIER": 2.0,
        "MAX_DELAY_MS": 10_000,
        "CONNECTION_RETRY_DELAY_MS": 2_000,
    },
    "DEFAULT_WORKER": {"MAX_CONCURRENT_JOBS": 10, "HEARTBEAT_INTERVAL_MS": 30_000, "RECONNECT_DELAY_MS": 5_000},
    "DEFAULT_RECONNECT": {
        "ENABLED": True,
        "MAX_ATTEMPTS": 10,
        "INITIAL_DELAY_MS": 1_000,
        "MAX_DELAY_MS": 30_000,
        "MULTIPLIER": 2,
    },
    "ENV_VARS": {
        "SERVER_URL": "IRONFLOW_SERVER_URL",
        "SIGNING_KEY": "IRONFLOW_SIGNING_KEY",
        "API_KEY": "IRONFLOW_API_KEY",
        "LOG_LEVEL": "IRONFLOW_LOG_LEVEL",
    },
    "STEP_TYPES": {"INVOKE": "invoke", "SLEEP": "sleep", "WAIT_FOR_EVENT": "wait_for_event"},
    "STEP_STATUS": {"COMPLETED": "completed", "FAILED": "failed", "WAITING": "waiting"},
    "RUN_STATUS": {each.upper(): each for each in ("pending", "running", "completed", "failed", "cancelled", "paused")},
    "TIMING": {
        "POLL_INTERVAL_MS": 1000,
        "ERROR_RETRY_DELAY_MS": 5000,
        "RECONNECT_DELAY_MS": 1000,
        "WS_CLOSE_NORMAL": 1000,
    },
    "ACK_TYPES": {"ACK": "ack", "NAK": "nak", "TERM": "term"},
    "HEADERS": {"ENVIRONMENT": "X-Ironflow-Environment"},
    "WS_MESSAGE_TYPES": {
        each.upper(): each
        for each in ("subscribe", "unsubscribe", "ack", "event", "subscription_result", "subscription_error", "error")
    },
    "HTTP_HEADERS": {"CONTENT_TYPE_JSON": "application/json"},
    "JSON_HEADERS": {"Content-Type": "application/json"},
    "EventSource": {"API": "api", "CRON": "cron", "WEBHOOK": "webhook"},
}
NAMED_ONLY = {
    "API_ENDPOINTS": (
        "TRIGGER TRIGGER_SYNC GET_RUN LIST_RUNS CANCEL_RUN RETRY_RUN REGISTER_FUNCTION HEALTH EMIT "
        "CREATE_CONSUMER_GROUP GET_CONSUMER_GROUP LIST_CONSUMER_GROUPS DELETE_CONSUMER_GROUP"
    ),
    "ERROR_CODES": (
        "FUNCTION_NOT_FOUND VALIDATION_ERROR SIGNATURE_INVALID NETWORK_ERROR SERVER_ERROR TIMEOUT_ERROR "
        "CONNECTION_LOST CONNECTION_REFUSED SUBSCRIPTION_ERROR NOT_CONFIGURED"
    ),
}


def plain(value: Any) -> Any:
    return value._asdict() if hasattr(value, "_asdict") else dict(value) if hasattr(value, "keys") else value


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_constant_has_its_documented_value(name: str):
    assert name in constants.__all__
    assert plain(getattr(constants, name)) == DOCUMENTED[name]


@pytest.mark.parametrize("name", NAMED_ONLY)
def test_a_group_has_its_documented_names(name: str):
    assert list(plain(getattr(constants, name))) == NAMED_ONLY[name].split()


def test_constants_are_what_is_used():
    assert constants.DEFAULT_SERVER_URL == DEFAULT_URL
    assert set(constants.RUN_STATUS) <= {each.value for each in RunStatus}
    assert set(constants.ACK_TYPES) == {each.value for each in groups.AckType}
    assert DeadlineExceeded.code == constants.ERROR_CODES.TIMEOUT_ERROR
    assert functions.FunctionNotFound.code == constants.ERROR_CODES.FUNCTION_NOT_FOUND


def test_endpoints_are_those_of_the_operations():
    served = {
        f"/ironflow.v1.{path}"
        for operation in (
            events.emit, events.emit_sync, functions.register, groups.create, groups.get, groups.list_, groups.delete
        )
        for path in operation.rpc
    }  # fmt: skip
    named = constants.API_ENDPOINTS
    assert {
        named.TRIGGER, named.TRIGGER_SYNC, named.EMIT, named.REGISTER_FUNCTION, named.CREATE_CONSUMER_GROUP,
        named.GET_CONSUMER_GROUP, named.LIST_CONSUMER_GROUPS, named.DELETE_CONSUMER_GROUP,
    } <= served  # fmt: skip


def test_a_constant_cannot_be_changed():
    with pytest.raises(AttributeError):
        constants.RUN_STATUS.FAILED = "broken"  # type: ignore[misc]


def test_addresses_and_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    for name in ("IRONFLOW_SERVER_URL", "IRONFLOW_API_KEY", "IRONFLOW_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert (constants.get_server_url(), constants.get_websocket_url()) == (
        "http://localhost:9123",
        "ws://localhost:9123/ws",
    )
    assert (constants.get_api_key(), constants.get_signing_key()) == (None, None)

    monkeypatch.setenv("IRONFLOW_SERVER_URL", "https://flow.example")
    monkeypatch.setenv("IRONFLOW_API_KEY", "ifkey_1")
    monkeypatch.setenv("IRONFLOW_SIGNING_KEY", "whsec_1")
    assert (constants.get_server_url(), constants.get_websocket_url()) == (
        "https://flow.example",
        "wss://flow.example/ws",
    )
    assert (constants.get_api_key(), constants.get_signing_key()) == ("ifkey_1", "whsec_1")
    assert constants.get_websocket_url("http://x:1/base/") == "ws://x:1/base/ws"
    assert constants.get_websocket_url("ws://x:1/ws") == "ws://x:1/ws"


@pytest.mark.parametrize(
    ("given", "ms"), [("30s", 30_000), ("500ms", 500), ("7d", 604_800_000), (2, 2000), (timedelta(minutes=1), 60_000)]
)
def test_durations_are_parsed(given: Any, ms: int):
    assert core.parse_duration(given) == ms


@pytest.mark.parametrize(
    ("attempt", "multiplier", "seconds"), [(1, 2, 1), (2, 2, 2), (3, 2, 4), (10, 2, 30), (10**9, 2, 30), (10**9, 1, 1)]
)
def test_backoff_grows_up_to_its_limit(attempt: int, multiplier: float, seconds: float):
    assert core.calculate_backoff(attempt, "1s", "30s", multiplier) == seconds


def test_backoff_without_an_attempt_is_refused():
    with pytest.raises(InvalidArgument):
        core.calculate_backoff(0, 1, 2)


@pytest.mark.parametrize(
    ("text", "value"), [('{"a":1}', {"a": 1}), ("invalid", None), ("", None), (b"[1]", [1]), ("[" * 100_000, None)]
)
def test_json_that_may_be_none_is_parsed(text: str | bytes, value: Any):
    assert core.safe_json_parse(text) == value


def test_a_deep_merge_changes_neither():
    target, source = {"a": 1, "b": {"c": 2, "e": {"f": 1}}}, {"b": {"d": 3, "e": 4}, "a": None}
    assert core.deep_merge({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}) == {"a": 1, "b": {"c": 2, "d": 3}}
    assert core.deep_merge(target, source) == {"a": None, "b": {"c": 2, "d": 3, "e": 4}}
    assert target == {"a": 1, "b": {"c": 2, "e": {"f": 1}}}
    assert core.deep_merge({"a": [1]}, {"a": [2]}) == {"a": [2]}


def test_objects_are_known_and_ids_are_unique():
    assert [core.is_object(each) for each in ({}, None, [], "text")] == [True, False, False, False]
    assert len({core.generate_id() for _ in range(100)}) == 100


PATTERNS = [
    (patterns.all_runs(), "system.run.>"),
    (patterns.run("run_abc"), "system.run.run_abc.>"),
    (patterns.run_lifecycle("run_abc"), "system.run.run_abc.*"),
    (patterns.run_steps("run_abc"), "system.run.run_abc.step.>"),
    (patterns.all_functions(), "system.function.>"),
    (patterns.function("my-fn"), "system.function.my-fn.>"),
    (patterns.user_event("order.*"), "events:order.*"),
    (patterns.all_user_events(), "events:>"),
    (patterns.topic("notifications"), "topic:notifications"),
    (patterns.all_topics(), "topic:>"),
    (patterns.all_secrets(), "system.secret.*"),
    (patterns.secret("db-password"), "system.secret.db-password.*"),
    (patterns.secret_action("updated"), "system.secret.*.updated"),
]


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS)
def test_patterns_are_those_of_the_documents_and_valid(pattern: str, expected: str):
    assert pattern == expected
    assert (pattern_of(pattern) if pattern.startswith("system.") else topic_pattern(pattern)) is not None


def test_every_pattern_is_tested():
    assert len(PATTERNS) == len(patterns.__all__)
    assert ironflow.patterns is patterns

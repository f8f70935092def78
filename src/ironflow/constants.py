"""The constants that packages of other languages export, by the same names: `from ironflow.constants import TIMING`.

Groups are named tuples: `DEFAULT_TIMEOUTS.CLIENT`, `RUN_STATUS._asdict()`. Times that end in `_MS`, and those of
DEFAULT_TIMEOUTS, are milliseconds. They are the documents' defaults; `docs/reference/sdk.md` has those of this SDK.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

DEFAULT_PORT = 9123
DEFAULT_HOST = "localhost"
DEFAULT_SERVER_URL = "http://localhost:9123"
DEFAULT_WS_URL = "ws://localhost:9123/ws"
DEFAULT_ENVIRONMENT = "default"


class _Timeouts(NamedTuple):
    CLIENT: int = 30_000
    FUNCTION: int = 600_000
    TRIGGER_SYNC: int = 30_000


class _Retry(NamedTuple):
    MAX_ATTEMPTS: int = 3
    INITIAL_DELAY_MS: int = 1_000
    BACKOFF_FACTOR: float = 2.0
    MAX_DELAY_MS: int = 300_000


class _ClientRetry(NamedTuple):
    MAX_ATTEMPTS: int = 3
    INITIAL_DELAY_MS: int = 100
    BACKOFF_MULTIPLIER: float = 2.0
    MAX_DELAY_MS: int = 10_000
    CONNECTION_RETRY_DELAY_MS: int = 2_000


class _Worker(NamedTuple):
    MAX_CONCURRENT_JOBS: int = 10
    HEARTBEAT_INTERVAL_MS: int = 30_000
    RECONNECT_DELAY_MS: int = 5_000


class _Reconnect(NamedTuple):
    ENABLED: bool = True
    MAX_ATTEMPTS: int = 10
    INITIAL_DELAY_MS: int = 1_000
    MAX_DELAY_MS: int = 30_000
    MULTIPLIER: float = 2


class _EnvironmentVariables(NamedTuple):
    SERVER_URL: str = "IRONFLOW_SERVER_URL"
    SIGNING_KEY: str = "IRONFLOW_SIGNING_KEY"
    API_KEY: str = "IRONFLOW_API_KEY"
    LOG_LEVEL: str = "IRONFLOW_LOG_LEVEL"


class _StepTypes(NamedTuple):
    INVOKE: str = "invoke"
    SLEEP: str = "sleep"
    WAIT_FOR_EVENT: str = "wait_for_event"


class _StepStatus(NamedTuple):
    COMPLETED: str = "completed"
    FAILED: str = "failed"
    WAITING: str = "waiting"


class _RunStatus(NamedTuple):
    PENDING: str = "pending"
    RUNNING: str = "running"
    COMPLETED: str = "completed"
    FAILED: str = "failed"
    CANCELLED: str = "cancelled"
    PAUSED: str = "paused"


class _ApiEndpoints(NamedTuple):
    TRIGGER: str = "/ironflow.v1.IronflowService/Trigger"
    TRIGGER_SYNC: str = "/ironflow.v1.IronflowService/TriggerSync"
    GET_RUN: str = "/ironflow.v1.IronflowService/GetRun"
    LIST_RUNS: str = "/ironflow.v1.IronflowService/ListRuns"
    CANCEL_RUN: str = "/ironflow.v1.IronflowService/CancelRun"
    RETRY_RUN: str = "/ironflow.v1.IronflowService/RetryRun"
    REGISTER_FUNCTION: str = "/ironflow.v1.IronflowService/RegisterFunction"
    HEALTH: str = "/ironflow.v1.IronflowService/Health"
    EMIT: str = "/ironflow.v1.IronflowService/Emit"
    CREATE_CONSUMER_GROUP: str = "/ironflow.v1.PubSubService/CreateConsumerGroup"
    GET_CONSUMER_GROUP: str = "/ironflow.v1.PubSubService/GetConsumerGroup"
    LIST_CONSUMER_GROUPS: str = "/ironflow.v1.PubSubService/ListConsumerGroups"
    DELETE_CONSUMER_GROUP: str = "/ironflow.v1.PubSubService/DeleteConsumerGroup"


class _Timing(NamedTuple):
    POLL_INTERVAL_MS: int = 1_000
    ERROR_RETRY_DELAY_MS: int = 5_000
    RECONNECT_DELAY_MS: int = 1_000
    WS_CLOSE_NORMAL: int = 1_000


class _AckTypes(NamedTuple):
    ACK: str = "ack"
    NAK: str = "nak"
    TERM: str = "term"


class _ErrorCodes(NamedTuple):
    """TIMEOUT_ERROR: the `code` that a time-out has, as in the documents' table of errors."""

    FUNCTION_NOT_FOUND: str = "FUNCTION_NOT_FOUND"
    VALIDATION_ERROR: str = "VALIDATION_ERROR"
    SIGNATURE_INVALID: str = "SIGNATURE_INVALID"
    NETWORK_ERROR: str = "NETWORK_ERROR"
    SERVER_ERROR: str = "SERVER_ERROR"
    TIMEOUT_ERROR: str = "TIMEOUT"
    CONNECTION_LOST: str = "CONNECTION_LOST"
    CONNECTION_REFUSED: str = "CONNECTION_REFUSED"
    SUBSCRIPTION_ERROR: str = "SUBSCRIPTION_ERROR"
    NOT_CONFIGURED: str = "NOT_CONFIGURED"


class _Headers(NamedTuple):
    ENVIRONMENT: str = "X-Ironflow-Environment"


class _WsMessageTypes(NamedTuple):
    SUBSCRIBE: str = "subscribe"
    UNSUBSCRIBE: str = "unsubscribe"
    ACK: str = "ack"
    EVENT: str = "event"
    SUBSCRIPTION_RESULT: str = "subscription_result"
    SUBSCRIPTION_ERROR: str = "subscription_error"
    ERROR: str = "error"


class _HttpHeaders(NamedTuple):
    CONTENT_TYPE_JSON: str = "application/json"


class _EventSource(NamedTuple):
    API: str = "api"
    CRON: str = "cron"
    WEBHOOK: str = "webhook"


DEFAULT_TIMEOUTS = _Timeouts()
DEFAULT_RETRY = _Retry()
DEFAULT_CLIENT_RETRY = _ClientRetry()
DEFAULT_WORKER = _Worker()
DEFAULT_RECONNECT = _Reconnect()
ENV_VARS = _EnvironmentVariables()
STEP_TYPES = _StepTypes()
STEP_STATUS = _StepStatus()
RUN_STATUS = _RunStatus()
API_ENDPOINTS = _ApiEndpoints()
TIMING = _Timing()
ACK_TYPES = _AckTypes()
ERROR_CODES = _ErrorCodes()
HEADERS = _Headers()
WS_MESSAGE_TYPES = _WsMessageTypes()
HTTP_HEADERS = _HttpHeaders()
JSON_HEADERS: Mapping[str, str] = MappingProxyType({"Content-Type": HTTP_HEADERS.CONTENT_TYPE_JSON})
EventSource = _EventSource()


def get_server_url() -> str:
    """IRONFLOW_SERVER_URL, or the local server."""
    return os.environ.get(ENV_VARS.SERVER_URL) or DEFAULT_SERVER_URL


def get_websocket_url(server_url: str | None = None) -> str:
    """Where subscriptions of a server are: `ws` for `http`, and `/ws` behind it. None: of `get_server_url`."""
    parts = urlsplit((server_url or get_server_url()).rstrip("/"))
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path if parts.path.endswith("/ws") else f"{parts.path}/ws"
    return urlunsplit((scheme, parts.netloc, path, "", ""))


def get_signing_key() -> str | None:
    """IRONFLOW_SIGNING_KEY, if there is one."""
    return os.environ.get(ENV_VARS.SIGNING_KEY) or None


def get_api_key() -> str | None:
    """IRONFLOW_API_KEY, if there is one."""
    return os.environ.get(ENV_VARS.API_KEY) or None


__all__ = [
    "ACK_TYPES",
    "API_ENDPOINTS",
    "DEFAULT_CLIENT_RETRY",
    "DEFAULT_ENVIRONMENT",
    "DEFAULT_HOST",
    "DEFAULT_PORT",
    "DEFAULT_RECONNECT",
    "DEFAULT_RETRY",
    "DEFAULT_SERVER_URL",
    "DEFAULT_TIMEOUTS",
    "DEFAULT_WORKER",
    "DEFAULT_WS_URL",
    "ENV_VARS",
    "ERROR_CODES",
    "HEADERS",
    "HTTP_HEADERS",
    "JSON_HEADERS",
    "RUN_STATUS",
    "STEP_STATUS",
    "STEP_TYPES",
    "TIMING",
    "WS_MESSAGE_TYPES",
    "EventSource",
    "get_api_key",
    "get_server_url",
    "get_signing_key",
    "get_websocket_url",
]

"""What can be asked of the server itself. Source: protocol/rest.md 2, protocol/connectrpc.md 5.1."""

from datetime import datetime
from typing import Annotated

from ironflow.base.fields import Message, field
from ironflow.base.operation import operation


class Nothing(Message, kw_only=True):
    """A request without fields."""


class Health(Message, kw_only=True):
    status: str
    timestamp: datetime
    version: str
    warnings: list[str] | None = None


class ComponentHealth(Message, kw_only=True):
    status: Annotated[str, field(1)]
    message: Annotated[str, field(2)] = ""


class RpcHealth(Message, kw_only=True):
    status: Annotated[str, field(1)]
    timestamp: Annotated[datetime, field(2)]
    components: Annotated[dict[str, ComponentHealth], field(3)]


class Readiness(Message, kw_only=True):
    status: str
    issues: dict[str, str]
    warnings: dict[str, str]


class Capabilities(Message, kw_only=True):
    transports: Annotated[list[str], field(1)]
    features: Annotated[list[str], field(2)]
    version: Annotated[str, field(3)]
    auth_required: bool


class Info(Message, kw_only=True):
    version: Annotated[str, field(1)]
    go_version: Annotated[str, field(2)] = ""
    started_at: Annotated[datetime, field(3)]
    function_count: Annotated[int, field(4)]
    active_runs: Annotated[int, field(5)]
    connected_workers: Annotated[int, field(6)]
    python_version: str = ""
    database: str = ""


def _ready_status(answer: Readiness) -> int:
    return 503 if answer.issues else 200


health = operation(
    "server.health", Nothing, Health, rest="GET /health", scope="public",
    doc="Whether the process is alive.",
)  # fmt: skip
rpc_health = operation(
    "server.rpc_health", Nothing, RpcHealth, rpc="IronflowService/Health", scope="server:read",
    doc="Health of the server's parts.",
)  # fmt: skip
ready = operation(
    "server.ready", Nothing, Readiness, rest="GET /ready", scope="public", status_from=_ready_status,
    doc="Whether the server can do its work now; 503 when it cannot.",
)  # fmt: skip
capabilities = operation(
    "server.capabilities", Nothing, Capabilities,
    rest="GET /api/v1/capabilities", rpc="IronflowService/GetCapabilities", scope="public",
    doc="What this server offers.",
)  # fmt: skip
info = operation(
    "server.info", Nothing, Info,
    rest="GET /api/v1/info", rpc="IronflowService/Info", scope="server:read",
    doc="Version, age and size of this server.",
)  # fmt: skip

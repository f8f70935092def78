"""What can be asked of the server itself. Source: protocol/rest.md 2, protocol/connectrpc.md 5.1."""

from datetime import datetime
from typing import Annotated

from ironflow.base.fields import Message, field
from ironflow.base.json import Json
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
    event_schema_enforcement: str = ""


class Setting(Message, kw_only=True):
    """value: secrets as stars. origin: `default`, `the environment`, the path of the file, or `the command line`.

    To a key of one environment, paths and addresses of the machine are stars too, and a file is `a file`.
    variable: of the environment. meaning: as in docs/reference/settings.md.
    """

    name: str
    value: Json
    default: Json
    origin: str
    variable: str
    meaning: str


class ServerSettings(Message, kw_only=True):
    """The settings of the node that answers."""

    settings: list[Setting]


class OpenApiDocument(Message, kw_only=True):
    """An OpenAPI 3.1 document."""

    openapi: str
    info: Json
    paths: Json
    components: Json


def _ready_status(answer: Readiness) -> int:
    return 503 if answer.issues else 200


health = operation(
    "server.health", Nothing, Health, rest="GET /health", scope="public",
    doc="Whether the process is alive.",
)  # fmt: skip
rpc_health = operation(
    "server.rpc_health", Nothing, RpcHealth, rpc="IronflowService/Health", scope="server:read",
    under_way=True,
    doc="Health of the server's parts.",
)  # fmt: skip
ready = operation(
    "server.ready", Nothing, Readiness, rest="GET /ready", scope="public", status_from=_ready_status,
    statuses=(200, 503),
    under_way=True,
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
openapi = operation(
    "server.openapi", Nothing, OpenApiDocument,
    rest="GET /api/v1/openapi.json", scope="server:read",
    doc="The REST operations of this server as an OpenAPI document.",
)  # fmt: skip
settings = operation(
    "server.settings", Nothing, ServerSettings,
    rest="GET /api/v1/settings", scope="settings:read",
    doc="Each setting of this server with its value and where the value came from.",
)  # fmt: skip

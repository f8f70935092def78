"""What can be asked of config documents. Source of the shapes: protocol/rest.md 8, protocol/websocket.md 3."""

from datetime import datetime
from typing import Annotated

import msgspec

from ironflow.base.errors import InvalidArgument, NotFound, PreconditionFailed
from ironflow.base.fields import Message, field
from ironflow.base.json import Json, null
from ironflow.base.operation import operation


class ConfigNotFound(NotFound):
    """There is no config document of that name in this environment."""

    code = "CONFIG_NOT_FOUND"


class ConfigConflict(PreconditionFailed):
    """The document is not at the revision that the request names."""

    code = "CONFIG_REVISION_CONFLICT"


class InvalidConfig(InvalidArgument):
    """A document is a JSON object, and its name 1 to 128 letters, digits, `_`, `-`, `.` or `:`."""

    code = "INVALID_CONFIG"


class SetConfig(Message, kw_only=True):
    """if_none_match `*` creates only; if_match (a revision, bare or quoted) replaces only that revision."""

    name: str
    data: Json = msgspec.field(default_factory=null)
    if_match: str | None = None
    if_none_match: str | None = None


class NamedConfig(Message, kw_only=True):
    name: str


class DeleteConfig(Message, kw_only=True):
    name: str
    if_match: str | None = None


class ListConfigs(Message, kw_only=True):
    limit: Annotated[int, field(ge=1, le=10_000)] = 10_000
    cursor: str = ""


class WatchConfig(Message, kw_only=True):
    """after: only what changed after that revision.

    initial: whether the current document comes first, if there is one; None for that of a watch without `after`.
    """

    name: str
    after: Annotated[int, field(ge=0)] | None = None
    initial: bool | None = None


class ConfigSet(Message, kw_only=True):
    name: str
    revision: int


class Config(Message, kw_only=True):
    """A document. revision: rises with each change of any document of the environment."""

    name: str
    data: Json
    revision: int
    updated_at: datetime


class ConfigSummary(Message, kw_only=True):
    name: str
    revision: int
    updated_at: datetime


class Configs(Message, kw_only=True):
    configs: list[ConfigSummary]
    next_cursor: str | None = None


class ConfigFrame(Message, kw_only=True):
    """One frame of a watch. type: `config_update`, or `config_delete`, which has no data and no time."""

    type: str
    name: str
    data: Json | None = None
    revision: int
    updated_at: datetime | None = None


# With its slashes, so that a name with one is refused by name.
_PATH = "/api/v1/config/{name...}"
_CONDITIONS = {"if-match": "if_match", "if-none-match": "if_none_match"}

set_config = operation(
    "config.set", SetConfig, ConfigSet,
    rest=(f"POST {_PATH}", f"PUT {_PATH}"), scope="config:write", adds="stored", body="data", headers=_CONDITIONS,
    errors=(ConfigConflict, InvalidConfig),
    doc="Replaces a document with the request body, a JSON object; makes it when there is none.",
)  # fmt: skip
patch_config = operation(
    "config.patch", SetConfig, ConfigSet,
    rest=f"PATCH {_PATH}", scope="config:write", adds="stored", body="data", headers=_CONDITIONS,
    errors=(ConfigConflict, InvalidConfig),
    doc="""Puts the members of the request body, a JSON object, into the document, each replacing the one of its name;
    makes the document when there is none.""",
)  # fmt: skip
get_config = operation(
    "config.get", NamedConfig, Config,
    rest=f"GET {_PATH}", scope="config:read", spelling="camel", errors=(ConfigNotFound,),
    doc="A document with its revision.",
)  # fmt: skip
list_configs = operation(
    "config.list", ListConfigs, Configs,
    rest="GET /api/v1/config", scope="config:read", spelling="camel",
    doc="The documents of this environment by name, without their content.",
)  # fmt: skip
delete_config = operation(
    "config.delete", DeleteConfig, None,
    rest=f"DELETE {_PATH}", scope="config:write", headers={"if-match": "if_match"},
    errors=(ConfigConflict, InvalidConfig),
    doc="Deletes a document. Deleting nothing is no error.",
)  # fmt: skip
watch_config = operation(
    "config.watch", WatchConfig, ConfigFrame,
    rest="GET /api/v1/config/{name}/watch", streaming="server", scope="config:read", spelling="camel",
    refused_in_frame=True, event_id="revision", headers={"last-event-id": "after"},
    errors=(InvalidConfig,),
    doc="Changes of one document as they are committed. A document that does not exist yet is waited for.",
)  # fmt: skip

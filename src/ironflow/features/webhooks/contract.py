"""What can be asked of webhook sources.

Source: protocol/connectrpc.md 5, protocol/connectrpc.json, protocol/rest.md 14a.
"""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import Aborted, AlreadyExists, InvalidArgument, NotFound, PayloadTooLarge, Unauthenticated
from ironflow.base.fields import Message, field
from ironflow.base.json import InvalidJson, Json
from ironflow.base.operation import RequestHead, operation
from ironflow.base.signature import SignatureError, SignatureExpired, SignatureMissing
from ironflow.base.webhook.descriptor import InvalidDescriptor
from ironflow.features.events.contract import EventTooLarge, InvalidEvent
from ironflow.features.schemas.contract import SchemaViolation
from ironflow.features.webhook_deliveries.contract import InvalidDeliveryFilter, WebhookDeliveryNotFound

GRACE_S_MAX = 604_800
VERSION_MAX = 2**31 - 1


class WebhookSourceNotFound(NotFound):
    """There is no webhook source of that id in this environment."""

    code = "WEBHOOK_SOURCE_NOT_FOUND"


class WebhookSourceExists(AlreadyExists):
    """There is a webhook source of that id already. Ids are unique on the whole server, as they are in URLs."""

    code = "WEBHOOK_SOURCE_EXISTS"


class WebhookSourceChanged(Aborted):
    """The webhook source was changed since it was read. Read it again and repeat the change."""

    code = "WEBHOOK_SOURCE_CHANGED"


class InvalidWebhookSource(InvalidArgument):
    """A webhook source has a name; its id is 1 to 128 letters, digits, `_`, `-` or `.`."""

    code = "INVALID_WEBHOOK_SOURCE"


class WrongIngestToken(Unauthenticated):
    """The request has no ingest token, or a wrong one. Send `?token=ifwh_…`, or it as a bearer token."""

    code = "WRONG_INGEST_TOKEN"


class WebhookTooLarge(PayloadTooLarge):
    """The body of a webhook is at most 1 MiB."""

    code = "WEBHOOK_TOO_LARGE"


class WebhookVerifyConfig(Message, kw_only=True):
    """How requests are signed, and what of them is the event's name and the delivery's id.

    The fields are those of the descriptor in docs/reference/webhooks.md.
    """

    signature_header: Annotated[str, field(1, max_length=256)] = ""
    entry_separator: Annotated[str, field(2, max_length=16)] = ""
    kv_delimiter: Annotated[str, field(3, max_length=16)] = ""
    signature_key: Annotated[str, field(4, max_length=64)] = ""
    timestamp_header: Annotated[str, field(5, max_length=256)] = ""
    timestamp_key: Annotated[str, field(6, max_length=64)] = ""
    signing_template: Annotated[str, field(7, max_length=256)] = ""
    encoding: Annotated[str, field(8)] = ""
    algorithm: Annotated[str, field(9)] = ""
    tolerance_seconds: Annotated[int, field(10, ge=-1, le=GRACE_S_MAX)] = 0
    event_name_path: Annotated[str, field(11, max_length=512)] = ""
    dedup_id_path: Annotated[str, field(12, max_length=512)] = ""


class WebhookSource(Message, kw_only=True):
    """A source. source_type: its preset, or `custom`. ingest_token: only of a new source and a new token.

    verifies: whether requests must be signed. Secrets are never returned.
    """

    id: Annotated[str, field(1)]
    event_prefix: Annotated[str, field(2)] = ""
    verify_header: Annotated[str, field(3)] = ""
    verify_algorithm: Annotated[str, field(4)] = ""
    source_type: Annotated[str, field(5)] = "custom"
    metadata: Annotated[Json, field(6)] | None = None
    created_at: Annotated[datetime, field(7)]
    updated_at: Annotated[datetime, field(8)]
    verify_secret_set: Annotated[bool, field(9)] = False
    name: Annotated[str, field(10)]
    verify_secret_prev_set: Annotated[bool, field(11)] = False
    verify_secret_prev_expires_at: Annotated[datetime, field(12)] | None = None
    ingest_token_prefix: Annotated[str, field(13)] = ""
    ingest_token: Annotated[str, field(14)] | None = None
    verify_config: Annotated[WebhookVerifyConfig, field(15)] | None = None
    schema_version: Annotated[int, field(16)] = 1
    verifies: bool = False
    ingest_url: str = ""


class CreateWebhookSource(Message, kw_only=True):
    """preset: github, stripe, slack, shopify, twilio or standard, instead of a verify_config.

    name: or id, which older clients choose. event_prefix: the preset's name when it is left out. verify_header: for a
    signature over the body alone. schema_version: of its events, 0 for 1.
    """

    id: Annotated[str, field(1)] = ""
    event_prefix: Annotated[str, field(2)] = ""
    verify_header: Annotated[str, field(3, max_length=256)] = ""
    verify_algorithm: Annotated[str, field(4)] = ""
    verify_secret: Annotated[str, field(5, max_length=1024)] = ""
    metadata: Annotated[Json, field(6)] | None = None
    name: Annotated[str, field(7, max_length=256)] = ""
    verify_config: Annotated[WebhookVerifyConfig, field(8)] | None = None
    schema_version: Annotated[int, field(9, ge=0, le=VERSION_MAX)] = 0
    preset: str = ""


class NamedWebhookSource(Message, kw_only=True):
    id: Annotated[str, field(1)]


class ListWebhookSources(Message, kw_only=True):
    """By id. limit 0 means 100. offset counts from the cursor."""

    limit: Annotated[int, field(1, ge=0, le=1000)] = 0
    offset: Annotated[int, field(2, ge=0, le=1_000_000)] = 0
    cursor: str = ""


class WebhookSources(Message, kw_only=True):
    sources: Annotated[list[WebhookSource], field(1)]
    total_count: Annotated[int, field(2)]
    next_cursor: str | None = None


class UpdateWebhookSource(Message, kw_only=True):
    """name and metadata are replaced, also by nothing; the others stay when they are left out.

    expected_updated_at: refused when the source was changed after it.
    """

    id: Annotated[str, field(1)]
    name: Annotated[str, field(2, max_length=256)] = ""
    verify_header: Annotated[str, field(3, max_length=256)] = ""
    verify_algorithm: Annotated[str, field(4)] = ""
    metadata: Annotated[Json, field(5)] | None = None
    verify_config: Annotated[WebhookVerifyConfig, field(6)] | None = None
    expected_updated_at: Annotated[datetime, field(7)] | None = None
    schema_version: Annotated[int, field(8, ge=0, le=VERSION_MAX)] = 0


class RotateWebhookSecret(Message, kw_only=True):
    """grace_seconds: for so long the old secret is accepted too; absent 24 h, 0 not at all."""

    id: Annotated[str, field(1)]
    verify_secret: Annotated[str, field(2, min_length=1, max_length=1024)]
    grace_seconds: Annotated[int, field(3, ge=0, le=GRACE_S_MAX)] | None = None
    expected_updated_at: Annotated[datetime, field(4)] | None = None


class ChangeWebhookSource(Message, kw_only=True):
    id: Annotated[str, field(1)]
    expected_updated_at: Annotated[datetime, field(2)] | None = None


class DisableWebhookVerification(Message, kw_only=True):
    """grace_seconds: for so long the secret is kept as the previous one, by which deliveries are recognized."""

    id: Annotated[str, field(1)]
    grace_seconds: Annotated[int, field(2, ge=0, le=GRACE_S_MAX)] | None = None
    expected_updated_at: Annotated[datetime, field(3)] | None = None


class TestWebhookVerifyConfig(Message, kw_only=True):
    """A request to try, on a verify_config, a preset or a source.

    verify_secret: the source's own when it is left out.
    """

    verify_config: Annotated[WebhookVerifyConfig, field(1)] | None = None
    body: Annotated[str, field(2)] = ""
    headers: Annotated[dict[str, str], field(3)] = {}
    verify_secret: Annotated[str, field(4, max_length=1024)] = ""
    source_id: Annotated[str, field(5)] = ""
    preset: str = ""


class WebhookVerifyTested(Message, kw_only=True):
    """signing_string: what was signed. computed_signature: with a secret of the request, or when it is verified.

    error: why it is not verified.
    """

    verified: Annotated[bool, field(1)]
    signing_string: Annotated[str, field(2)] = ""
    computed_signature: Annotated[str, field(3)] = ""
    presented_signatures: Annotated[list[str], field(4)] = []
    resolved_timestamp: Annotated[str, field(5)] = ""
    resolved_event_name: Annotated[str, field(6)] = ""
    resolved_dedup_id: Annotated[str, field(7)] = ""
    error: Annotated[str, field(8)] = ""


class IngestWebhook(Message, kw_only=True):
    """A delivery. body: as it was sent. token: or as a bearer token."""

    source: str
    body: bytes = b""
    token: str = ""
    authorization: str = ""
    head: RequestHead | None = None


class WebhookIngested(Message, kw_only=True):
    """The delivery and its event, which is durable. challenge: the answer to Slack's `url_verification`."""

    id: str
    delivery_id: str
    event_id: str = ""
    status: str = "accepted"
    duplicate: bool = False
    run_ids: list[str] = []
    challenge: str | None = None


class ReplayWebhookDeliveries(Message, kw_only=True):
    """ids, or all of a source with a status that were not replayed, oldest first, `limit` at a time."""

    ids: Annotated[list[str], field(max_length=100)] = []
    source_id: str = ""
    status: str = ""
    since: datetime | None = None
    until: datetime | None = None
    limit: Annotated[int, field(ge=1, le=100)] = 100
    cursor: str = ""


class ReplayedDelivery(Message, kw_only=True):
    """delivery_id: of the replay. error: why there is no event; empty when there is one."""

    id: str
    delivery_id: str = ""
    status: str
    event_id: str = ""
    duplicate: bool = False
    error: str = ""


class WebhooksReplayed(Message, kw_only=True):
    """next_cursor: there are more; ask again with it."""

    replayed: list[ReplayedDelivery]
    count: int
    next_cursor: str | None = None


_SOURCES = "/api/v1/webhook-sources"
_CONFIG = (InvalidDescriptor, InvalidWebhookSource)
_CHANGE = (WebhookSourceNotFound, WebhookSourceChanged)

create = operation(
    "webhooks.create", CreateWebhookSource, WebhookSource,
    rest=f"POST {_SOURCES}", rpc="WebhookService/CreateWebhookSource", success=201, spelling="both",
    rpc_spelling="both", scope="webhooks:write", errors=(WebhookSourceExists, *_CONFIG),
    doc="Creates a source. Its ingest token is shown once.",
)  # fmt: skip
get = operation(
    "webhooks.get", NamedWebhookSource, WebhookSource,
    rest=f"GET {_SOURCES}/{{id}}", rpc="WebhookService/GetWebhookSource", spelling="both", rpc_spelling="both",
    scope="webhooks:read", errors=(WebhookSourceNotFound,),
    doc="One source.",
)  # fmt: skip
list_ = operation(
    "webhooks.list", ListWebhookSources, WebhookSources,
    rest=f"GET {_SOURCES}", rpc="WebhookService/ListWebhookSources", spelling="both", rpc_spelling="both",
    scope="webhooks:read",
    doc="The sources of this environment by id.",
)  # fmt: skip
update = operation(
    "webhooks.update", UpdateWebhookSource, WebhookSource,
    rest=f"PUT {_SOURCES}/{{id}}", rpc="WebhookService/UpdateWebhookSource", spelling="both", rpc_spelling="both",
    scope="webhooks:write", errors=(*_CHANGE, *_CONFIG),
    doc="Changes a source; what it verifies with is replaced only when it is sent.",
)  # fmt: skip
delete = operation(
    "webhooks.delete", NamedWebhookSource, None,
    rest=f"DELETE {_SOURCES}/{{id}}", rpc="WebhookService/DeleteWebhookSource", spelling="both", rpc_spelling="both",
    scope="webhooks:write", errors=(WebhookSourceNotFound,),
    doc="Deletes a source at once. Its deliveries are kept for their retention.",
)  # fmt: skip
rotate_secret = operation(
    "webhooks.rotate_secret", RotateWebhookSecret, WebhookSource,
    rest=f"POST {_SOURCES}/{{id}}/rotate-secret", rpc="WebhookService/RotateWebhookSecret", spelling="both",
    rpc_spelling="both", scope="webhooks:write", errors=_CHANGE,
    doc="Replaces the signing secret, or sets the first; requests must be signed from now on.",
)  # fmt: skip
expire_previous = operation(
    "webhooks.expire_previous", ChangeWebhookSource, WebhookSource,
    rest=f"POST {_SOURCES}/{{id}}/expire-previous-secret", rpc="WebhookService/ExpireWebhookSecretPrev",
    spelling="both", rpc_spelling="both", scope="webhooks:write", errors=_CHANGE,
    doc="Ends the grace of the previous secret.",
)  # fmt: skip
disable_verification = operation(
    "webhooks.disable_verification", DisableWebhookVerification, WebhookSource,
    rest=f"POST {_SOURCES}/{{id}}/disable-verification", rpc="WebhookService/DisableWebhookSignatureVerification",
    spelling="both", rpc_spelling="both", scope="webhooks:write", errors=_CHANGE,
    doc="Accepts requests without a signature: the ingest token alone protects the source.",
)  # fmt: skip
rotate_token = operation(
    "webhooks.rotate_token", ChangeWebhookSource, WebhookSource,
    rest=f"POST {_SOURCES}/{{id}}/rotate-token", rpc="WebhookService/RotateWebhookIngestToken",
    spelling="both", rpc_spelling="both", scope="webhooks:write", errors=_CHANGE,
    doc="Replaces the ingest token at once. The new one is shown once.",
)  # fmt: skip
test = operation(
    "webhooks.test", TestWebhookVerifyConfig, WebhookVerifyTested,
    rest="POST /api/v1/webhook-tests", rpc="WebhookService/TestWebhookVerifyConfig", spelling="both",
    rpc_spelling="both", scope="webhooks:write", errors=(WebhookSourceNotFound, InvalidDescriptor),
    doc="A dry run: verifies a request and shows the text that was signed. Nothing is recorded.",
)  # fmt: skip
ingest = operation(
    "webhooks.ingest", IngestWebhook, WebhookIngested,
    rest="POST /api/v1/webhooks/{source}", spelling="both", scope="public",
    body="body", body_is="bytes", head="head", headers={"authorization": "authorization"},
    errors=(
        WebhookSourceNotFound, WrongIngestToken, SignatureMissing, SignatureExpired, SignatureError, WebhookTooLarge,
        InvalidJson, InvalidEvent, EventTooLarge, SchemaViolation,
    ),
    doc="Delivers a webhook with the source's token; answers when its event is durable.",
)  # fmt: skip
replay = operation(
    "webhooks.replay", ReplayWebhookDeliveries, WebhooksReplayed,
    rest="POST /api/v1/webhook-deliveries/replay", spelling="both", scope="webhooks:write", adds="events",
    errors=(WebhookSourceNotFound, WebhookDeliveryNotFound, InvalidDeliveryFilter),
    doc="""Makes deliveries again as they came: an accepted one is a new event, a refused one is verified with the
    source's secrets of now.""",
)  # fmt: skip

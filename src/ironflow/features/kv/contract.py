"""What can be asked of key-value buckets. Source of the shapes: protocol/rest.md 7."""

from datetime import datetime
from typing import Annotated

from ironflow.base.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    ResourceExhausted,
)
from ironflow.base.fields import Message, field
from ironflow.base.operation import operation

# A hundred years.
TTL_S_MAX = 100 * 366 * 86_400


class BucketNotFound(NotFound):
    """There is no bucket of that name in this environment. Create it first."""

    code = "KV_BUCKET_NOT_FOUND"


class BucketExists(AlreadyExists):
    """There is a bucket of that name in this environment already."""

    code = "KV_BUCKET_EXISTS"


class KeyNotFound(NotFound):
    """The bucket has no such key, or it was deleted or has expired."""

    code = "KV_KEY_NOT_FOUND"


class RevisionConflict(PreconditionFailed):
    """The key is not at the revision that the request names."""

    code = "KV_REVISION_CONFLICT"


class InvalidBucket(InvalidArgument):
    """A bucket name is 1 to 128 letters, digits, `_`, `-` or `.`; limits are not negative and history is 1 to 64."""

    code = "KV_INVALID_BUCKET"


class InvalidKey(InvalidArgument):
    """A key is 1 to 1024 bytes of text without control characters, `*` or `>`."""

    code = "KV_INVALID_KEY"


class ValueTooLarge(PayloadTooLarge):
    """The value is larger than the bucket's max_value_size."""

    code = "KV_VALUE_TOO_LARGE"


class BucketFull(ResourceExhausted):
    """The bucket would grow over its max_bytes. Delete or purge keys, or make a larger bucket."""

    code, retryable = "KV_BUCKET_FULL", False


class RevisionAhead(FailedPrecondition):
    """The bucket is not yet at the revision after which to watch."""

    code = "KV_REVISION_AHEAD"


class Bucket(Message, kw_only=True):
    """A bucket. ttl_seconds: age at which an entry expires; absent means never. history: entries kept for each key."""

    name: str
    description: str | None = None
    ttl_seconds: int | None = None
    max_value_size: int | None = None
    max_bytes: int | None = None
    values: int = 0
    bytes: int = 0
    history: int = 1
    created_at: datetime


class Entry(Message, kw_only=True):
    """One revision of a key. operation: `put` or `delete`; value: base64 of the stored bytes, empty on delete.

    written_by (ours): the key or user that wrote it; in a history, where there is authentication.
    """

    key: str
    value: bytes
    revision: int
    created_at: datetime
    operation: str
    written_by: str | None = None


class CreateBucket(Message, kw_only=True):
    name: str
    description: str | None = None
    ttl_seconds: Annotated[int, field(ge=0, le=TTL_S_MAX)] = 0
    max_value_size: Annotated[int, field(ge=0)] = 0
    max_bytes: Annotated[int, field(ge=0)] = 0
    history: Annotated[int, field(ge=0, le=64)] = 1


class ListBuckets(Message, kw_only=True):
    limit: Annotated[int, field(ge=1, le=10_000)] = 10_000
    cursor: str = ""


class Buckets(Message, kw_only=True):
    buckets: list[Bucket]
    count: int
    next_cursor: str | None = None


class NamedBucket(Message, kw_only=True):
    bucket: str


class ListKeys(Message, kw_only=True):
    bucket: str
    filter: str = ">"
    limit: Annotated[int, field(ge=1, le=10_000)] = 10_000
    cursor: str = ""


class Keys(Message, kw_only=True):
    keys: list[str]
    count: int
    next_cursor: str | None = None


class GetKey(Message, kw_only=True):
    """revision: that revision instead of the newest, while history keeps it."""

    bucket: str
    key: str
    revision: Annotated[int, field(ge=1)] | None = None


class PutKey(Message, kw_only=True):
    """if_none_match `*` creates only; if_match (a revision, bare or quoted) updates only that revision."""

    bucket: str
    key: str
    value: bytes = b""
    if_match: str | None = None
    if_none_match: str | None = None


class Put(Message, kw_only=True):
    revision: int


class DeleteKey(Message, kw_only=True):
    """purge: remove the key with its history instead of leaving a tombstone."""

    bucket: str
    key: str
    purge: bool = False
    if_match: str | None = None


class GetHistory(Message, kw_only=True):
    bucket: str
    key: str
    limit: Annotated[int, field(ge=1, le=64)] = 64


class History(Message, kw_only=True):
    entries: list[Entry]
    count: int


class WatchKeys(Message, kw_only=True):
    """key: a pattern of keys. after: only what changed after that revision.

    initial: whether current values are sent first; None: only in a watch without `after`.
    """

    bucket: str
    key: str = ">"
    after: Annotated[int, field(ge=0)] | None = None
    initial: bool | None = None


class KeyFrame(Message, kw_only=True):
    """One frame of a watch. type: `kv_update`, or `kv_ready` when the initial values have been sent.

    operation: `put` or `delete`, also for a purge; value: base64 of the stored bytes, empty on delete.
    """

    type: str
    key: str | None = None
    value: bytes | None = None
    revision: int
    operation: str | None = None
    bucket: str


_KEY = "/api/v1/kv/buckets/{bucket}/keys/{key...}"

create_bucket = operation(
    "kv.create_bucket", CreateBucket, Bucket,
    rest="POST /api/v1/kv/buckets", success=201, scope="kv:write", errors=(BucketExists, InvalidBucket),
    doc="Creates a bucket.",
)  # fmt: skip
list_buckets = operation(
    "kv.list_buckets", ListBuckets, Buckets,
    rest="GET /api/v1/kv/buckets", scope="kv:read",
    doc="The buckets of this environment by name.",
)  # fmt: skip
get_bucket = operation(
    "kv.get_bucket", NamedBucket, Bucket,
    rest="GET /api/v1/kv/buckets/{bucket}", scope="kv:read", errors=(BucketNotFound,),
    doc="One bucket with the number and size of its values.",
)  # fmt: skip
delete_bucket = operation(
    "kv.delete_bucket", NamedBucket, None,
    rest="DELETE /api/v1/kv/buckets/{bucket}", scope="kv:write", errors=(BucketNotFound,),
    doc="Deletes a bucket with all its keys.",
)  # fmt: skip
list_keys = operation(
    "kv.list_keys", ListKeys, Keys,
    rest="GET /api/v1/kv/buckets/{bucket}/keys", scope="kv:read", errors=(BucketNotFound,),
    doc="Live keys in order; `filter` takes `*` and `>` on dots.",
)  # fmt: skip
get_history = operation(
    "kv.get_history", GetHistory, History,
    rest="GET /api/v1/kv/buckets/{bucket}/history/{key...}", scope="kv:read", errors=(BucketNotFound, KeyNotFound),
    doc="The kept revisions of a key, newest first, tombstones included.",
)  # fmt: skip
get = operation(
    "kv.get", GetKey, Entry,
    rest=f"GET {_KEY}", scope="kv:read", errors=(BucketNotFound, KeyNotFound),
    doc="The current entry of a key.",
)  # fmt: skip
put = operation(
    "kv.put", PutKey, Put,
    rest=f"PUT {_KEY}", scope="kv:write", adds="stored",
    body="value", body_is="bytes", headers={"if-match": "if_match", "if-none-match": "if_none_match"},
    errors=(BucketNotFound, RevisionConflict, InvalidKey, ValueTooLarge, BucketFull),
    doc="Stores the request body as the key's value, byte for byte, and answers the new revision.",
)  # fmt: skip
delete = operation(
    "kv.delete", DeleteKey, None,
    rest=f"DELETE {_KEY}", scope="kv:write", headers={"if-match": "if_match"},
    errors=(BucketNotFound, RevisionConflict),
    doc="Deletes a key, leaving a tombstone; `purge=true` removes its history too. Deleting nothing is no error.",
)  # fmt: skip
watch = operation(
    "kv.watch", WatchKeys, KeyFrame,
    rest="GET /api/v1/kv/buckets/{bucket}/watch", streaming="server", scope="kv:read",
    refused_in_frame=True, event_id="revision", headers={"last-event-id": "after"},
    errors=(BucketNotFound, RevisionAhead),
    doc="""Changes of a bucket's keys as they are committed. `after` goes on after a revision without losing a change;
    of a key that changed several times meanwhile the newest value is sent.""",
)  # fmt: skip

"""`ironflow kv`: buckets of keys and values."""

from contextlib import suppress
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from ironflow.base.duration import duration_ms, duration_text
from ironflow.base.errors import IronflowError
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, status_text, table
from ironflow.cli.terminal.payload import read_bytes
from ironflow.cli.terminal.sizes import read_size, size_text
from ironflow.cli.terminal.times import since_text, time_text
from ironflow.features.kv import contract as kv
from ironflow.features.kv.contract import Entry

app = App("kv", help="Read and write key-value buckets.")

Bucket = Annotated[str, Parameter(help="The bucket's name.")]
Key = Annotated[str, Parameter(help="The key, such as user:123.")]
_VALUE_SHOWN_MAX = 60


@app.command
def buckets(*, limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the buckets."""
    answer = cli.call(kv.list_buckets, kv.ListBuckets(limit=limit, cursor=cursor))
    cli.show(
        answer,
        lambda: table(
            ["BUCKET", "KEYS", "SIZE", "HISTORY", "TTL", "LIMIT", "DESCRIPTION"],
            (
                [
                    each.name,
                    str(each.values),
                    size_text(each.bytes),
                    str(each.history),
                    _ttl_text(each.ttl_seconds),
                    size_text(each.max_bytes) if each.max_bytes else "",
                    each.description,
                ]
                for each in answer.buckets
            ),
            right=["KEYS", "SIZE", "HISTORY"],
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def create_bucket(
    name: Bucket,
    /,
    *,
    ttl: str = "0s",
    history: int = 1,
    max_value_size: str = "0",
    max_bytes: str = "0",
    description: str | None = None,
    cli: Injected,
) -> None:
    """Create a bucket.

    Args:
        ttl: Age at which a value expires, such as 7d; 0s for never.
        history: Revisions kept of each key, 1 to 64.
        max_value_size: Maximum size of a value, such as 64KiB; 0 for the server's limit.
        max_bytes: Maximum size of the bucket, such as 1GiB; 0 for no limit.
        description: Description of the bucket.
    """
    answer = cli.call(
        kv.create_bucket,
        kv.CreateBucket(
            name=name,
            description=description,
            ttl_seconds=-(-duration_ms(ttl) // 1000),
            max_value_size=read_size(max_value_size),
            max_bytes=read_size(max_bytes),
            history=history,
        ),
    )
    cli.show(answer, lambda: f"created bucket {answer.name}")


@app.command
def delete_bucket(
    name: Bucket, /, *, yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False, cli: Injected
) -> None:
    """Delete a bucket with all its keys and their history.

    Args:
        yes: Do not ask for confirmation.
    """
    if not yes:
        found = cli.call(kv.get_bucket, kv.NamedBucket(bucket=name))
        keys = f"{found.values} {'key' if found.values == 1 else 'keys'}"
        if not cli.confirm(f"Delete bucket {name} with its {keys}?"):
            raise UsageError(f"bucket {name} is unchanged. Add --yes to delete it with its {keys}.")
    cli.send(kv.delete_bucket, kv.NamedBucket(bucket=name))
    cli.show({"deleted": name}, lambda: f"deleted bucket {name}")


@app.command
def keys(bucket: Bucket, pattern: str = ">", /, *, limit: Limit = 1000, cursor: Cursor = "", cli: Injected) -> None:
    """List the keys of a bucket in order.

    Args:
        pattern: Pattern of the keys; * matches one segment, > the rest.
    """
    answer = cli.call(kv.list_keys, kv.ListKeys(bucket=bucket, filter=pattern, limit=limit, cursor=cursor))
    cli.show(answer, lambda: "\n".join(answer.keys)) if answer.keys or cli.json else cli.note("no keys", "dim")
    note_more(cli, answer.next_cursor)


@app.command
def get(bucket: Bucket, key: Key, /, *, revision: int | None = None, cli: Injected) -> None:
    """Write a key's value to standard output, byte for byte.

    Args:
        revision: An earlier revision that the history still holds.
    """
    entry = cli.call(kv.get, kv.GetKey(bucket=bucket, key=key, revision=revision))
    if cli.json:
        cli.show(_entry(entry), lambda: "")
        return
    cli.write(entry.value)
    if cli.out.is_terminal and not entry.value.endswith(b"\n"):
        cli.write(b"\n")


@app.command
def put(
    bucket: Bucket,
    key: Key,
    value: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    create: Annotated[bool, Parameter(negative="")] = False,
    if_revision: int | None = None,
    cli: Injected,
) -> None:
    """Store a value.

    Args:
        value: The value as text, @FILE for a file's content, - for standard input.
        create: Only if the key does not exist.
        if_revision: Only if the key is at this revision.
    """
    if create and if_revision is not None:
        raise UsageError("--create and --if-revision exclude each other: a key that does not exist has no revision.")
    answer = cli.call(
        kv.put,
        kv.PutKey(
            bucket=bucket,
            key=key,
            value=read_bytes(value, cli.stdin),
            if_match=None if if_revision is None else str(if_revision),
            if_none_match="*" if create else None,
        ),
    )
    cli.show(answer, lambda: f"stored {key}, revision {answer.revision}")


@app.command
def delete(
    bucket: Bucket,
    key: Key,
    /,
    *,
    purge: Annotated[bool, Parameter(negative="")] = False,
    if_revision: int | None = None,
    cli: Injected,
) -> None:
    """Delete a key. A missing key is no error.

    Args:
        purge: Delete the key's history too.
        if_revision: Only if the key is at this revision.
    """
    cli.send(
        kv.delete,
        kv.DeleteKey(bucket=bucket, key=key, purge=purge, if_match=None if if_revision is None else str(if_revision)),
    )
    cli.show({"deleted": key, "purged": purge}, lambda: f"{'purged' if purge else 'deleted'} {key}")


@app.command
def history(bucket: Bucket, key: Key, /, *, limit: int = 64, cli: Injected) -> None:
    """List the kept revisions of a key, newest first.

    Args:
        limit: Maximum number of revisions, 1 to 64.
    """
    answer = cli.call(kv.get_history, kv.GetHistory(bucket=bucket, key=key, limit=limit))
    now = cli.clock.now()
    cli.show(
        {"entries": [_entry(each) for each in answer.entries], "count": answer.count},
        lambda: table(
            ["REVISION", "OPERATION", "WHEN", "SIZE", "VALUE"],
            (
                [
                    str(each.revision),
                    status_text(each.operation),
                    since_text(each.created_at, now),
                    size_text(len(each.value)),
                    _value_text(each.value),
                ]
                for each in answer.entries
            ),
            right=["REVISION", "SIZE"],
        ),
    )


@app.command
def info(bucket: Bucket, /, *, cli: Injected) -> None:
    """Show a bucket with its settings, its number of keys and its size."""
    answer = cli.call(kv.get_bucket, kv.NamedBucket(bucket=bucket))
    cli.show(
        answer,
        lambda: facts(
            [
                ("bucket", answer.name),
                ("description", answer.description),
                ("keys", str(answer.values)),
                ("size", size_text(answer.bytes)),
                ("full at", size_text(answer.max_bytes) if answer.max_bytes else None),
                ("largest value", size_text(answer.max_value_size) if answer.max_value_size else None),
                ("history", str(answer.history)),
                ("ttl", _ttl_text(answer.ttl_seconds) or "never"),
                ("created", time_text(answer.created_at)),
            ]
        ),
    )


@app.command
def watch(
    bucket: Bucket,
    pattern: str = ">",
    /,
    *,
    after: int | None = None,
    initial: Annotated[bool, Parameter(negative="")] = False,
    cli: Injected,
) -> None:
    """Show changes of a bucket's keys as they happen, until interrupted.

    Args:
        pattern: Pattern of the keys; * matches one segment, > the rest.
        after: Start after this revision.
        initial: Start with the current values.
    """

    def failed(fault: IronflowError) -> None:
        cli.note(f"{fault.message} Reconnecting.", "yellow")

    found = cli.client.kv.bucket(bucket).watch(pattern, after=after, initial=initial, on_error=failed)
    for change in found:
        cli.show(
            change,
            lambda change=change: (
                f"{change.revision}  {change.operation}  {change.key}  {_value_text(change.value)}".rstrip()
            ),
        )


def _entry(entry: Entry) -> dict[str, object]:
    """The entry in its REST form, with `text` beside the base64 when the value is UTF-8."""
    shown: dict[str, object] = msgspec.to_builtins(entry)
    with suppress(UnicodeDecodeError):
        shown["text"] = entry.value.decode()
    return shown


def _value_text(value: bytes) -> str:
    try:
        text = " ".join(value.decode().split())
    except UnicodeDecodeError:
        text = value[:_VALUE_SHOWN_MAX].hex(" ", 2)
    return text if len(text) <= _VALUE_SHOWN_MAX else text[: _VALUE_SHOWN_MAX - 1] + "…"


def _ttl_text(ttl_seconds: int | None) -> str:
    return duration_text(ttl_seconds * 1000) if ttl_seconds else ""

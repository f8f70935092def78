"""`ironflow webhook`: sources at which other systems deliver events, and their deliveries."""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from ironflow.base.webhook.descriptor import Descriptor
from ironflow.base.webhook.presets import PRESETS, sign_headers
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import Cursor, note_more
from ironflow.cli.terminal.output import facts, status_text, table
from ironflow.cli.terminal.payload import read_bytes
from ironflow.cli.terminal.times import moment_text, since_text, time_text
from ironflow.features.webhook_deliveries import contract as deliveries
from ironflow.features.webhooks import contract as webhooks
from ironflow.features.webhooks.contract import WebhookSource, WebhookSourceNotFound

app = App("webhook", help="List and change webhook sources, look at deliveries and replay them.")

Source = Annotated[str, Parameter(help="Id or name of a source.")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask for confirmation.")]
Secret = Annotated[str, Parameter(help="The signing secret: text, @FILE, or - for standard input.")]


@app.command(name="list")
def list_(*, limit: int = 100, cursor: Cursor = "", cli: Injected) -> None:
    """List the sources of the environment.

    Args:
        limit: Maximum number of sources, 1 to 1000.
    """
    answer = cli.call(webhooks.list_, webhooks.ListWebhookSources(limit=limit, cursor=cursor))
    now = cli.clock.now()
    if not answer.sources:
        cli.note("no webhook sources. Create one: ironflow webhook create github --preset github --secret ...", "dim")
    if answer.sources or cli.json:
        cli.show(
            answer,
            lambda: table(
                ["ID", "NAME", "TYPE", "EVENTS", "VERIFIES", "TOKEN", "UPDATED"],
                (
                    [
                        each.id,
                        each.name,
                        each.source_type,
                        f"{each.event_prefix}.*" if each.event_prefix else "*",
                        "yes" if each.verifies else "no",
                        f"{each.ingest_token_prefix}…",
                        since_text(each.updated_at, now),
                    ]
                    for each in answer.sources
                ),
            ),
        )
    note_more(cli, answer.next_cursor)


@app.command
def create(
    name: str,
    /,
    *,
    preset: str = "",
    secret: Secret = "",
    event_prefix: str = "",
    config: str = "",
    schema_version: int = 1,
    source_id: Annotated[str, Parameter(name="--id", help="An id of your own. Default: a random one")] = "",
    cli: Injected,
) -> None:
    """Create a source. Its ingest token is shown once.

    Args:
        name: A name, such as github.
        preset: github, stripe, slack, shopify, twilio or standard.
        event_prefix: Put before the names of its events. Default: the preset
        config: How requests are signed: JSON with the fields of a verify_config, @FILE, or -.
        schema_version: Version of its events.
    """
    request = webhooks.CreateWebhookSource(
        id=source_id,
        name=name,
        preset=preset,
        verify_secret=_secret(cli, secret),
        event_prefix=event_prefix,
        verify_config=_config(cli, config),
        schema_version=schema_version,
    )
    source = cli.call(webhooks.create, request)
    cli.show(source, lambda: _facts(source, cli))
    _note_url(cli, source)


@app.command
def get(source: Source, /, *, cli: Injected) -> None:
    """Show a source."""
    found = _find(cli, source)
    cli.show(found, lambda: _facts(found, cli))


@app.command
def update(source: Source, /, *, name: str = "", config: str = "", schema_version: int = 0, cli: Injected) -> None:
    """Change a source, unless it was changed meanwhile.

    Args:
        name: A new name.
        config: How requests are signed: JSON with the fields of a verify_config, @FILE, or -.
        schema_version: Version of its events.
    """
    before = _find(cli, source)
    request = webhooks.UpdateWebhookSource(
        id=before.id,
        name=name or before.name,
        metadata=before.metadata,
        verify_config=_config(cli, config),
        schema_version=schema_version,
        expected_updated_at=before.updated_at,
    )
    changed = cli.call(webhooks.update, request)
    cli.show(changed, lambda: _facts(changed, cli))


@app.command
def delete(source: Source, /, *, yes: Yes = False, cli: Injected) -> None:
    """Delete a source at once. Its deliveries stay for their retention."""
    found = _find(cli, source)
    if not yes and not cli.confirm(f"Delete the webhook source {found.name} ({found.id})?"):
        raise UsageError(f"the source {found.id} is unchanged. Add --yes to delete it.")
    cli.send(webhooks.delete, webhooks.NamedWebhookSource(id=found.id))
    cli.show({"deleted": found.id}, lambda: f"deleted {found.id}")


@app.command
def rotate_secret(source: Source, /, *, secret: Secret, grace: int | None = None, cli: Injected) -> None:
    """Replace the signing secret.

    Args:
        grace: Seconds for which the old secret is accepted too. Default: 24 hours
    """
    request = webhooks.RotateWebhookSecret(
        id=_find(cli, source).id, verify_secret=_secret(cli, secret), grace_seconds=grace
    )
    changed = cli.call(webhooks.rotate_secret, request)
    cli.show(changed, lambda: _facts(changed, cli))


@app.command
def rotate_token(source: Source, /, *, yes: Yes = False, cli: Injected) -> None:
    """Replace the ingest token at once. The new one is shown once."""
    found = _find(cli, source)
    if not yes and not cli.confirm(f"Refuse the old token of {found.name} from now on?"):
        raise UsageError(f"the token of {found.id} is unchanged. Add --yes to replace it.")
    changed = cli.call(webhooks.rotate_token, webhooks.ChangeWebhookSource(id=found.id))
    cli.show(changed, lambda: _facts(changed, cli))
    _note_url(cli, changed)


@app.command(name="deliveries")
def deliveries_(
    delivery_id: str = "",
    /,
    *,
    provider: str = "",
    status: str = "",
    limit: int = 50,
    cursor: Cursor = "",
    cli: Injected,
) -> None:
    """List deliveries, newest first, or show one with its body.

    Args:
        delivery_id: Id of one delivery.
        provider: Id or name of a source.
        status: accepted, rejected or failed.
        limit: Maximum number of deliveries, 1 to 1000.
    """
    if delivery_id:
        _show_delivery(cli, delivery_id)
        return
    request = deliveries.ListWebhookDeliveries(
        source_id=_find(cli, provider).id if provider else "", status=status, limit=limit, cursor=cursor
    )
    answer = cli.call(deliveries.list_, request)
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["ID", "WHEN", "SOURCE", "STATUS", "EVENT", "KEY", "WHY"],
            (
                [
                    each.id,
                    since_text(each.created_at, now),
                    each.source_id,
                    status_text("duplicate" if each.duplicate else each.status),
                    each.event_name,
                    each.signature_key,
                    each.error,
                ]
                for each in answer.deliveries
            ),
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def replay(
    *delivery_id: str, provider: str = "", status: str = "", limit: int = 100, yes: Yes = False, cli: Injected
) -> int:
    """Make deliveries again; exit code 1 when one of them is no event.

    Args:
        delivery_id: Ids of deliveries.
        provider: Id or name of a source, instead of ids.
        status: Of that source: accepted, rejected or failed ones that were not replayed.
        limit: How many of them, oldest first, 1 to 100.
    """
    if bool(delivery_id) == bool(provider):
        raise UsageError("name either deliveries, or a source with --provider and --status.")
    if provider and not status:
        raise UsageError("add --status accepted, rejected or failed.")
    if provider and not yes and not cli.confirm(f"Replay up to {limit} {status} deliveries of {provider}?"):
        raise UsageError("nothing was replayed. Add --yes to replay them.")
    request = webhooks.ReplayWebhookDeliveries(
        ids=list(delivery_id), source_id=_find(cli, provider).id if provider else "", status=status, limit=limit
    )
    answer = cli.call(webhooks.replay, request)
    cli.show(
        answer,
        lambda: table(
            ["DELIVERY", "REPLAYED AS", "STATUS", "EVENT", "WHY"],
            (
                [each.id, each.delivery_id, status_text(each.status), each.event_id, each.error]
                for each in answer.replayed
            ),
        ),
    )
    note_more(cli, answer.next_cursor, "repeat the command; cursor")
    return Exit.OK if all(not each.error for each in answer.replayed) else Exit.FAILED


@app.command(name="test")
def deliver(
    *,
    provider: str,
    payload: str,
    token: str = "",
    secret: Secret = "",
    header: list[str] | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    cli: Injected,
) -> int:
    """Deliver a payload to a source as its provider does, or only verify it with --dry-run.

    Args:
        provider: Id or name of a source.
        payload: JSON, a file or @FILE, or - for standard input.
        token: The source's ingest token; not needed for a dry run.
        secret: Sign the payload with it.
        header: A header such as X-GitHub-Event=push; can be repeated.
        dry_run: Record nothing; show the text that was signed.
    """
    source = _find(cli, provider)
    body = _payload(cli, payload)
    headers = _headers(header or [])
    if secret:
        url = f"{source.ingest_url}?token={token}"
        signed = sign_headers(_descriptor(source), body, _secret(cli, secret), cli.clock.now(), url=url)
        headers = {**signed, **headers}
    if dry_run:
        return _try(cli, source, body, headers)
    if not token:
        raise UsageError("add --token ifwh_..., or --dry-run to record nothing.")
    sent = cli.client.webhooks.send(source.id, token, body, headers)
    cli.show(
        sent,
        lambda: facts(
            [
                ("delivery", sent.delivery_id),
                ("status", "duplicate" if sent.duplicate else sent.status),
                ("event", sent.event_id),
                ("runs", ", ".join(sent.run_ids) or "none"),
            ]
        ),
    )
    return Exit.OK


@app.command
def presets(*, cli: Injected) -> None:
    """List the providers whose signatures are known."""
    known = {preset.name: preset.about for preset in PRESETS.values()}
    cli.show({"presets": known}, lambda: table(["PRESET", "SIGNATURE"], ([name, known[name]] for name in known)))


def _try(cli: Cli, source: WebhookSource, body: bytes, headers: dict[str, str]) -> int:
    request = webhooks.TestWebhookVerifyConfig(
        source_id=source.id, body=body.decode("utf-8", "replace"), headers=headers
    )
    tried = cli.call(webhooks.test, request)
    cli.show(
        tried,
        lambda: facts(
            [
                ("verified", "yes" if tried.verified else f"no: {tried.error}"),
                ("signed", tried.signing_string),
                ("computed", tried.computed_signature or "not shown"),
                ("presented", ", ".join(tried.presented_signatures) or "none"),
                ("event", tried.resolved_event_name),
                ("delivery id", tried.resolved_dedup_id or "none"),
            ]
        ),
    )
    return Exit.OK if tried.verified else Exit.FAILED


def _show_delivery(cli: Cli, delivery_id: str) -> None:
    found = cli.call(deliveries.get, deliveries.GetWebhookDelivery(id=delivery_id))
    headers = msgspec.json.format(bytes(found.request_headers or b"{}").decode(), indent=2)
    cli.show(
        found,
        lambda: facts(
            [
                ("id", found.id),
                ("received", moment_text(found.created_at, cli.clock.now())),
                ("source", found.source_id),
                ("status", status_text("duplicate" if found.duplicate else found.status)),
                ("why", found.error or "-"),
                ("event", f"{found.event_name} {found.event_id}".strip() or "none"),
                ("delivery id", found.external_id or "none"),
                ("signed with", found.signature_key),
                ("replay of", found.replay_of or "-"),
                ("replayed as", found.replayed_as or "-"),
                ("headers", headers),
                ("body", found.request_body),
            ]
        ),
    )


def _find(cli: Cli, id_or_name: str) -> WebhookSource:
    """The source of that id, or the only one of that name. Raises WebhookSourceNotFound, UsageError."""
    try:
        return cli.call(webhooks.get, webhooks.NamedWebhookSource(id=id_or_name))
    except WebhookSourceNotFound:
        cursor, named = "", list[WebhookSource]()
        while True:
            page = cli.call(webhooks.list_, webhooks.ListWebhookSources(limit=1000, cursor=cursor))
            named += [each for each in page.sources if each.name == id_or_name]
            if not page.next_cursor:
                break
            cursor = page.next_cursor
        if not named:
            raise
        if len(named) > 1:
            ids = ", ".join(each.id for each in named)
            raise UsageError(f"several sources are named {id_or_name!r}; name one by its id: {ids}.") from None
        return named[0]


def _facts(source: WebhookSource, cli: Cli) -> RenderableType:
    previous = source.verify_secret_prev_expires_at
    return facts(
        [
            ("id", source.id),
            ("name", source.name),
            ("type", source.source_type),
            ("events", f"{source.event_prefix}.*" if source.event_prefix else "*"),
            ("version", str(source.schema_version)),
            (
                "verifies",
                ("yes" if source.verify_secret_set else "yes, without a secret yet") if source.verifies else "no",
            ),
            ("old secret", f"until {time_text(previous)}" if previous else "none"),
            ("url", source.ingest_url if "://" in source.ingest_url else f"{cli.address}{source.ingest_url}"),
            ("token", source.ingest_token or f"{source.ingest_token_prefix}…"),
            ("updated", moment_text(source.updated_at, cli.clock.now())),
        ]
    )


def _note_url(cli: Cli, source: WebhookSource) -> None:
    url = source.ingest_url if "://" in source.ingest_url else f"{cli.address}{source.ingest_url}"
    cli.note(f"Give the provider {url}?token={source.ingest_token}")
    cli.note(Text("This token is not shown again.", style="dim"))


def _descriptor(source: WebhookSource) -> Descriptor:
    config = msgspec.structs.asdict(source.verify_config) if source.verify_config else {}
    descriptor = Descriptor(**config)
    return msgspec.structs.replace(
        descriptor,
        signature_header=descriptor.signature_header or source.verify_header or "X-Webhook-Signature",
        algorithm=descriptor.algorithm or source.verify_algorithm,
    )


def _secret(cli: Cli, given: str) -> str:
    return read_bytes(given, cli.stdin).decode(errors="replace").strip()


def _payload(cli: Cli, given: str) -> bytes:
    if given[:1] not in ("@", "-", "{", "[", '"') and Path(given).is_file():
        return Path(given).read_bytes()
    return read_bytes(given, cli.stdin)


def _config(cli: Cli, given: str) -> webhooks.WebhookVerifyConfig | None:
    if not given:
        return None
    try:
        return msgspec.json.decode(read_bytes(given, cli.stdin), type=webhooks.WebhookVerifyConfig)
    except msgspec.MsgspecError as fault:
        raise UsageError(f"the config is no verify_config: {fault}") from None


def _headers(given: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for each in given:
        name, delimiter, value = each.partition("=")
        if not delimiter or not name.strip():
            raise UsageError(f"{each!r} is no header; write NAME=VALUE.")
        headers[name.strip()] = value
    return headers

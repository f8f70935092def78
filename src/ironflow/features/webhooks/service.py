"""What happens: one method for each operation of the feature."""

import logging
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from ironflow.base.call import Call
from ironflow.base.errors import IronflowError
from ironflow.base.ids import Ids, first_id_at
from ironflow.base.json import Json
from ironflow.base.operation import RequestHead
from ironflow.base.signature import SignatureError
from ironflow.base.time import Millis, to_datetime, to_millis
from ironflow.base.webhook.descriptor import Descriptor, check_age, check_descriptor, matching_key, presented, signature
from ironflow.base.webhook.presets import dedup_id, event_name, preset_named
from ironflow.base.webhook.request import Headers, WebhookRequest
from ironflow.features.limits.service import Limiter
from ironflow.features.secrets.in_tx import Vault, forget, keep
from ironflow.features.webhook_deliveries import in_tx as deliveries
from ironflow.features.webhook_deliveries.contract import WebhookDeliveryNotFound
from ironflow.features.webhooks import contract, rules, store
from ironflow.features.webhooks.ingesting import Ingestion, Outcome, challenge_of, decode
from ironflow.features.webhooks.known import CHANGED, SECRETS_OF, KnownSource, KnownSources
from ironflow.features.webhooks.rules import SourceRow
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)

LIMIT_DEFAULT = 100
INGEST_PATH = "/api/v1/webhooks/"


class Webhooks:
    """The webhook sources of one server. public_url: where providers reach it, empty when it is not known."""

    def __init__(
        self,
        db: Database,
        known: KnownSources,
        vault: Vault,
        ingestion: Ingestion,
        ids: Ids,
        limiter: Limiter,
        *,
        public_url: str,
        grace_hours: float,
    ) -> None:
        self._db = db
        self._known = known
        self._vault = vault
        self._ingestion = ingestion
        self._ingestion_apply = ingestion.apply
        self._ids = ids
        self._limiter = limiter
        self._public_url = public_url.rstrip("/")
        self._grace_s = int(grace_hours * 3600)
        # Requests by status, since the start.
        self.counts: dict[tuple[str, ...], float] = {}

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.get: self.get,
            contract.list_: self.list_,
            contract.update: self.update,
            contract.delete: self.delete,
            contract.rotate_secret: self.rotate_secret,
            contract.expire_previous: self.expire_previous,
            contract.disable_verification: self.disable_verification,
            contract.rotate_token: self.rotate_token,
            contract.test: self.test,
            contract.ingest: self.ingest,
            contract.replay: self.replay,
        }

    async def create(self, call: Call, request: contract.CreateWebhookSource) -> contract.WebhookSource:
        token = self._token()
        source_id = request.id or f"wh_{uuid.UUID(hex=self._ids.token())}"
        row = rules.new_source(request, id=source_id, environment=call.environment, token=token, now=call.now)

        def change(tx: Tx) -> None:
            if not store.add(tx, row):
                raise contract.WebhookSourceExists(
                    f"There is a webhook source {row.id!r} already. Ids are unique on the whole server; take another."
                )
            if row.secret:
                self._keep(tx, row, request.verify_secret, call.now)
            tx.notify(CHANGED, row.id)

        await self._db.write(change)
        logger.info("webhook source created", extra={"source_id": row.id, "environment": row.environment})
        return self._message(row, call.now, token)

    async def get(self, call: Call, request: contract.NamedWebhookSource) -> contract.WebhookSource:
        row = await self._db.peek(lambda tx: _of_environment(tx, call, request.id))
        return self._message(row, call.now)

    async def list_(self, call: Call, request: contract.ListWebhookSources) -> contract.WebhookSources:
        limit = request.limit or LIMIT_DEFAULT

        def look(tx: Tx) -> contract.WebhookSources:
            found = store.page(tx, call.environment, request.cursor, limit + 1, request.offset)
            page = found[:limit]
            return contract.WebhookSources(
                sources=[self._message(row, call.now) for row in page],
                total_count=store.count(tx, call.environment),
                next_cursor=page[-1].id if len(found) > limit else None,
            )

        return await self._db.read(look)

    async def update(self, call: Call, request: contract.UpdateWebhookSource) -> contract.WebhookSource:
        return await self._change(
            call, request.id, request.expected_updated_at, lambda row: rules.decide_update(row, request, call.now)
        )

    async def delete(self, call: Call, request: contract.NamedWebhookSource) -> None:
        def change(tx: Tx) -> None:
            row = _of_environment(tx, call, request.id, to_change=True)
            store.delete(tx, call.environment, row.id)
            forget(tx, SECRETS_OF, rules.secret_names(row))
            tx.notify(CHANGED, row.id)

        await self._db.write(change)
        self._known.forget(request.id)
        logger.info("webhook source deleted", extra={"source_id": request.id, "environment": call.environment})

    async def rotate_secret(self, call: Call, request: contract.RotateWebhookSecret) -> contract.WebhookSource:
        grace_s = self._grace_s if request.grace_seconds is None else request.grace_seconds
        return await self._change(
            call,
            request.id,
            request.expected_updated_at,
            lambda row: rules.decide_rotation(row, grace_s, call.now),
            secret=request.verify_secret,
        )

    async def expire_previous(self, call: Call, request: contract.ChangeWebhookSource) -> contract.WebhookSource:
        return await self._change(
            call, request.id, request.expected_updated_at, lambda row: rules.without_previous(row, call.now)
        )

    async def disable_verification(
        self, call: Call, request: contract.DisableWebhookVerification
    ) -> contract.WebhookSource:
        grace_s = request.grace_seconds or 0
        source = await self._change(
            call,
            request.id,
            request.expected_updated_at,
            lambda row: rules.decide_no_verification(row, grace_s, call.now),
        )
        logger.warning("webhook source accepts unsigned requests", extra={"source_id": request.id})
        return source

    async def rotate_token(self, call: Call, request: contract.ChangeWebhookSource) -> contract.WebhookSource:
        token = self._token()
        source = await self._change(
            call, request.id, request.expected_updated_at, lambda row: rules.with_token(row, token, call.now)
        )
        source.ingest_token = token
        return source

    async def test(self, call: Call, request: contract.TestWebhookVerifyConfig) -> contract.WebhookVerifyTested:
        descriptor, secrets, prefix = await self._tried(call, request)
        check_descriptor(descriptor)
        url = f"{self._public_url}{INGEST_PATH}{request.source_id}" if self._public_url else ""
        sent = WebhookRequest(request.body.encode(), Headers(request.headers), "POST", url)
        return _tested(descriptor, secrets, prefix, sent, call.now, shown=bool(request.verify_secret))

    async def ingest(self, call: Call, request: contract.IngestWebhook) -> contract.WebhookIngested:
        rules.check_size(request.body)
        source = await self._known.find(request.source, call.now)
        if source is None:
            raise contract.WebhookSourceNotFound(f"There is no webhook source {request.source[:128]!r}.")
        rules.check_token(source.row, request.token, request.authorization)
        sent = self._request(source.row.id, request.body, request.head)
        self._limiter.check_bytes_left(source.row.environment, call.now, "events")
        verdict = rules.decide_genuine(source.row, source.secrets_at(call.now), sent, call.now)
        delivery = self._ingestion.delivery(source.row, sent, verdict, call.now, call.trace)
        outcome = await self._db.write_many(self._ingestion_apply, delivery)
        self._count(outcome)
        if outcome.refusal is not None:
            raise outcome.refusal
        return self._answer(source.row, sent, outcome)

    async def replay(self, call: Call, request: contract.ReplayWebhookDeliveries) -> contract.WebhooksReplayed:
        ids, cursor = await self._db.read(lambda tx: _chosen(tx, call, request))
        replayed: list[contract.ReplayedDelivery] = []
        for each in ids:
            outcome = await self._db.write(lambda tx, each=each: self._replay_one(tx, call, each))
            self._count(outcome)
            row = outcome.row
            replayed.append(
                contract.ReplayedDelivery(
                    id=each,
                    delivery_id=row.id,
                    status=row.status,
                    event_id=row.event_id,
                    duplicate=bool(row.duplicate),
                    error=row.error,
                )
            )
        return contract.WebhooksReplayed(replayed=replayed, count=len(replayed), next_cursor=cursor)

    def _replay_one(self, tx: Tx, call: Call, delivery_id: str) -> Outcome:
        first = deliveries.delivery(tx, call.environment, delivery_id, to_change=True)
        if first is None:
            raise WebhookDeliveryNotFound(f"There is no webhook delivery {delivery_id[:80]!r} in this environment.")
        source = self._known.look(tx, first.source_id, call.now)
        if source is None or source.row.environment != call.environment:
            raise _not_found(call, first.source_id)
        sent = self._request(first.source_id, first.body, RequestHead("", "", decode(first.headers)))
        # It was signed when it came; an accepted one was verified then, with secrets that may have been replaced.
        genuine = rules.decide_genuine(source.row, source.secrets_at(call.now), sent, first.created_at)
        verdict = rules.Verdict(first.signature_key, None) if first.signature_key != "invalid" else genuine
        delivery = self._ingestion.replayed(first, self._ingestion.delivery(source.row, sent, verdict, call.now))
        (outcome,) = self._ingestion.apply(tx, [delivery])
        if isinstance(outcome, IronflowError):
            raise outcome
        return outcome

    def _request(self, source_id: str, body: bytes, head: RequestHead | None) -> WebhookRequest:
        query = f"?{head.query}" if head is not None and head.query else ""
        url = f"{self._public_url}{INGEST_PATH}{source_id}{query}" if self._public_url else ""
        return WebhookRequest(body, Headers.lowered(head.headers if head is not None else {}), "POST", url)

    def _answer(self, source: SourceRow, sent: WebhookRequest, outcome: Outcome) -> contract.WebhookIngested:
        row = outcome.row
        return contract.WebhookIngested(
            id=row.id,
            delivery_id=row.id,
            event_id=row.event_id,
            status=row.status,
            duplicate=bool(row.duplicate),
            run_ids=outcome.run_ids,
            challenge=None if row.event_id else challenge_of(source, sent.json()),
        )

    async def _change(
        self,
        call: Call,
        source_id: str,
        expected: datetime | None,
        decide: Callable[[SourceRow], SourceRow],
        *,
        secret: str = "",
    ) -> contract.WebhookSource:
        """Saves what `decide` makes of the source. secret: the value of its new secret."""

        def change(tx: Tx) -> SourceRow:
            before = _of_environment(tx, call, source_id, to_change=True)
            rules.check_expected(before, expected)
            after = decide(before)
            if secret:
                self._keep(tx, after, secret, call.now)
            forget(tx, SECRETS_OF, rules.secrets_to_forget(before, after))
            store.save(tx, after)
            tx.notify(CHANGED, source_id)
            return after

        row = await self._db.write(change)
        self._known.forget(source_id)
        logger.info("webhook source changed", extra={"source_id": row.id, "environment": row.environment})
        return self._message(row, call.now)

    def _keep(self, tx: Tx, row: SourceRow, secret: str, now: Millis) -> None:
        keep(tx, self._vault, SECRETS_OF, rules.secret_name(row, row.secret), secret, now)

    async def _tried(
        self, call: Call, request: contract.TestWebhookVerifyConfig
    ) -> tuple[Descriptor, tuple[str, ...], str]:
        """How the request is to be verified, with which secrets, and the event prefix."""
        secrets: tuple[str, ...] = (request.verify_secret,) if request.verify_secret else ()
        descriptor, prefix = Descriptor(), ""
        if request.source_id:

            def look(tx: Tx) -> KnownSource | None:
                _of_environment(tx, call, request.source_id)
                return self._known.look(tx, request.source_id, call.now)

            source = await self._db.peek(look)
            if source is None:
                raise _not_found(call, request.source_id)
            descriptor, prefix = rules.descriptor_of(source.row), source.row.event_prefix
            secrets = secrets or tuple(each for each in source.secrets_at(call.now) if each)
        if request.preset:
            descriptor = preset_named(request.preset).descriptor
        if request.verify_config is not None:
            descriptor = rules.as_descriptor(request.verify_config)
        return descriptor, secrets, prefix

    def _message(self, row: SourceRow, now: Millis, token: str | None = None) -> contract.WebhookSource:
        has_previous = bool(row.secret_prev) and now < row.secret_prev_until
        return contract.WebhookSource(
            id=row.id,
            event_prefix=row.event_prefix,
            verify_header=row.verify_header,
            verify_algorithm=row.verify_algorithm,
            source_type=row.source_type,
            metadata=Json(row.metadata.encode()) if row.metadata else None,
            created_at=to_datetime(row.created_at),
            updated_at=to_datetime(row.updated_at),
            verify_secret_set=bool(row.secret),
            name=row.name,
            verify_secret_prev_set=has_previous,
            verify_secret_prev_expires_at=to_datetime(row.secret_prev_until) if has_previous else None,
            ingest_token_prefix=row.token_prefix,
            ingest_token=token,
            verify_config=rules.config_of(row),
            schema_version=row.schema_version,
            verifies=bool(row.verifies),
            ingest_url=f"{self._public_url}{INGEST_PATH}{row.id}",
        )

    def _token(self) -> str:
        return rules.TOKEN_MARK + self._ids.token() + self._ids.token()

    def _count(self, outcome: Outcome) -> None:
        key = ("duplicate" if outcome.row.duplicate else outcome.row.status,)
        self.counts[key] = self.counts.get(key, 0) + 1


def _chosen(tx: Tx, call: Call, request: contract.ReplayWebhookDeliveries) -> tuple[Sequence[str], str | None]:
    """The ids of the deliveries to replay, oldest first, and a cursor where there are more."""
    if request.ids:
        return request.ids, None
    (status, *others) = deliveries.statuses_of(request.status)
    if not request.source_id or others:
        raise contract.InvalidDeliveryFilter("Name the deliveries by ids, or by a source_id and a status.")
    _of_environment(tx, call, request.source_id)
    after = max(first_id_at("whd", to_millis(request.since)) if request.since else "", request.cursor)
    # Replays that this request makes are later than every delivery that it chooses.
    before = first_id_at("whd", min(call.now, to_millis(request.until)) if request.until else call.now + 1)
    place = (tx, call.environment, request.source_id, status)
    ids = deliveries.not_replayed(*place, (after, before), request.limit + 1)
    return ids[: request.limit], ids[request.limit - 1] if len(ids) > request.limit else None


def _tested(
    descriptor: Descriptor, secrets: tuple[str, ...], prefix: str, sent: WebhookRequest, now: Millis, *, shown: bool
) -> contract.WebhookVerifyTested:
    """shown: the computed signature may be shown, because the caller knows the secret."""
    tested = contract.WebhookVerifyTested(verified=False)
    try:
        found = presented(descriptor, sent)
        tested.signing_string = found.signed[0].decode("utf-8", "replace")
        tested.presented_signatures = found.signatures
        tested.resolved_timestamp = found.timestamp
        if not secrets:
            raise SignatureError("There is no secret to verify with: send verify_secret.")
        matched = matching_key(descriptor, found, secrets)
        if shown or matched is not None:
            tested.computed_signature = signature(descriptor, found.signed[0], secrets[matched or 0])
        if matched is None:
            raise SignatureError("The presented signature is another than the computed one.")
        check_age(descriptor, found.timestamp, now)
        tested.verified = True
    except IronflowError as fault:
        tested.error = fault.message
    try:
        payload = sent.json()
    except IronflowError as fault:
        tested.error = tested.error or fault.message
    else:
        tested.resolved_event_name = event_name(descriptor, prefix, payload, sent.headers)
        tested.resolved_dedup_id = dedup_id(descriptor, payload, sent.headers)
    return tested


def _of_environment(tx: Tx, call: Call, source_id: str, *, to_change: bool = False) -> SourceRow:
    """Raises WebhookSourceNotFound."""
    row = store.source(tx, source_id, to_change=to_change)
    if row is None or row.environment != call.environment:
        raise _not_found(call, source_id)
    return row


def _not_found(call: Call, source_id: str) -> contract.WebhookSourceNotFound:
    return contract.WebhookSourceNotFound(
        f"There is no webhook source {source_id[:128]!r} in environment {call.environment!r}. "
        "`ironflow webhook list` shows them."
    )

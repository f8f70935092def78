"""The hot path of a delivery: verified on its raw bytes, then recorded with its event in one transaction.

Deliveries that wait for the same commit share it and few statements. The provider's id of a delivery is an idempotency
key of its source, so of deliveries in flight at once one is an event, and the others are answered with it.
"""

import hashlib
import re
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from ironflow.base.errors import IronflowError
from ironflow.base.ids import Ids
from ironflow.base.json import Json, read_json, write_json
from ironflow.base.time import Millis
from ironflow.base.trace_context import TraceContext
from ironflow.base.webhook.presets import dedup_id, event_name
from ironflow.base.webhook.request import WebhookRequest
from ironflow.features.events.in_tx import WEBHOOK, Answer, Emission, Emitter, InvalidEvent, record_of
from ironflow.features.webhook_deliveries import in_tx as deliveries
from ironflow.features.webhook_deliveries.in_tx import DeliveryRow
from ironflow.features.webhooks.rules import SourceRow, Verdict, descriptor_of
from ironflow.storage.port import Tx

ERROR_CHARS_MAX = 500
EXTERNAL_ID_CHARS_MAX = 512
# What is an idempotency key as it is; other ids are hashed.
_KEY = re.compile(r"[!-~]{1,255}")


class Delivery(NamedTuple):
    """A request as it will be kept, with its event where it is one. replayed: the delivery that it makes again.

    refusal: why it has no event.
    """

    row: DeliveryRow
    emission: Emission | None
    refusal: IronflowError | None = None


class Outcome(NamedTuple):
    """A delivery as it was kept. refusal: why it has no event."""

    row: DeliveryRow
    run_ids: list[str]
    refusal: IronflowError | None


class Ingestion:
    """Makes deliveries of requests, and records them. Made once: its `apply` is what commits gather items for."""

    def __init__(self, emitter: Emitter, ids: Ids, data_bytes_max: int) -> None:
        self._emitter_apply = emitter.apply
        self._ids = ids
        self._data_bytes_max = data_bytes_max

    def delivery(
        self,
        source: SourceRow,
        request: WebhookRequest,
        verdict: Verdict,
        now: Millis,
        trace: TraceContext | None = None,
    ) -> Delivery:
        """The delivery that a request is. Nothing of a request that is not genuine is parsed. trace: as of a call."""
        row = DeliveryRow(
            id=self._ids.new("whd"),
            environment=source.environment,
            source_id=source.id,
            external_id="",
            status="accepted",
            event_id="",
            event_name="",
            error="",
            signature_key=verdict.key,
            duplicate=0,
            headers=deliveries.kept_headers(request.headers.items()),
            body=request.body,
            body_bytes=len(request.body),
            created_at=now,
        )
        if verdict.fault is not None:
            return Delivery(_refused(row, "rejected", verdict.fault), None, verdict.fault)
        try:
            return self._event(source, request, row, now, trace)
        except IronflowError as refusal:
            return Delivery(_refused(row, "failed", refusal), None, refusal)

    def replayed(self, first: DeliveryRow, delivery: Delivery) -> Delivery:
        """The delivery as a replay of `first`; of an accepted one its event is a new one, whatever its id."""
        emission = delivery.emission
        if emission is not None and first.status == "accepted":
            emission = emission._replace(record=replace(emission.record, idempotency_key=None), key_scope="")
        return delivery._replace(row=replace(delivery.row, replay_of=first.id), emission=emission)

    def apply(self, tx: Tx, items: list[Delivery]) -> list[Outcome | IronflowError]:
        """Appends the events, starts their runs and keeps the deliveries; each item gets its outcome."""
        emissions = [each.emission for each in items if each.emission is not None]
        answers = iter(self._emitter_apply(tx, emissions) if emissions else ())
        outcomes = [_outcome(each, next(answers) if each.emission is not None else None) for each in items]
        deliveries.add(tx, [each.row for each in outcomes])
        for each in outcomes:
            if each.row.replay_of:
                deliveries.mark_replayed(tx, each.row.replay_of, each.row.id)
        return [*outcomes]

    def _event(
        self, source: SourceRow, request: WebhookRequest, row: DeliveryRow, now: Millis, trace: TraceContext | None
    ) -> Delivery:
        """Raises InvalidJson, InvalidEvent, EventTooLarge."""
        data = request.payload()
        payload = read_json(data)
        descriptor = descriptor_of(source)
        external_id = dedup_id(descriptor, payload, request.headers).replace("\0", "")[:EXTERNAL_ID_CHARS_MAX]
        name = event_name(descriptor, source.event_prefix, payload, request.headers)
        row = replace(row, external_id=external_id, event_name=name[:256])
        if challenge_of(source, payload) is not None:
            return Delivery(replace(row, event_name=""), None)
        if not name:
            path = descriptor.event_name_path or "type"
            refusal = InvalidEvent(f"The request has no event name at {path}, and the source no event_prefix.")
            return Delivery(_refused(row, "failed", refusal), None, refusal)
        try:
            record = record_of(
                event_id=self._ids.new("evt"),
                environment=source.environment,
                name=name,
                data=data,
                metadata=Json(write_json({"webhook": {"source_id": source.id, "delivery_id": row.id}})),
                version=source.schema_version,
                namespace="default",
                idempotency_key=_key_of(external_id),
                run_id="",
                emitted_by=f"webhook:{source.id}",
                data_bytes_max=self._data_bytes_max,
                now=now,
                trace=trace,
            )
        except IronflowError as refusal:
            return Delivery(_refused(row, "failed", refusal), None, refusal)
        emission = Emission(replace(record, source=WEBHOOK), now, key_scope=f"webhook:{source.id}")
        return Delivery(row, emission)


def challenge_of(source: SourceRow, payload: Any) -> str | None:
    """What Slack asks to be answered when its URL is set; None for everything else."""
    if source.source_type != "slack" or not isinstance(payload, dict):
        return None
    challenge: Any = payload.get("challenge")
    return challenge if payload.get("type") == "url_verification" and isinstance(challenge, str) else None


def _outcome(delivery: Delivery, answer: Answer | IronflowError | None) -> Outcome:
    if answer is None:
        return Outcome(delivery.row, [], delivery.refusal)
    if isinstance(answer, IronflowError):
        return Outcome(_refused(delivery.row, "failed", answer), [], answer)
    row = replace(delivery.row, event_id=answer.event_id, duplicate=int(answer.duplicate))
    return Outcome(row, answer.run_ids, None)


def _refused(row: DeliveryRow, status: str, refusal: IronflowError) -> DeliveryRow:
    return replace(row, status=status, error=refusal.message[:ERROR_CHARS_MAX].replace("\0", ""))


def _key_of(external_id: str) -> str:
    """The idempotency key of a delivery, empty without an id."""
    if not external_id or _KEY.fullmatch(external_id):
        return external_id
    return hashlib.sha256(external_id.encode("utf-8", "surrogatepass")).hexdigest()


def decode(text: str) -> dict[str, str]:
    """Kept headers as they came."""
    return msgspec.json.decode(text, type=dict[str, str])

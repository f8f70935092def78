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
from ironflow.base.json import Json, write_json
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
EVENT_NAME_CHARS_MAX = 256
# What is an idempotency key as it is; other ids are hashed.
_KEY = re.compile(r"[!-~]{1,255}")


class Delivery(NamedTuple):
    """A request as it will be kept, with its event where it is one. row: with the id of that event.

    refusal: why it has no event.
    """

    row: DeliveryRow
    emission: Emission | None
    refusal: IronflowError | None = None


class _Found(NamedTuple):
    """What a genuine request is: its provider's id, and its event or why it has none. A challenge has neither."""

    external_id: str = ""
    event_name: str = ""
    emission: Emission | None = None
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
        delivery_id = self._ids.new("whd")
        if verdict.fault is None:
            found = self._found(source, request, delivery_id, now, trace)
            status = "accepted" if found.refusal is None else "failed"
        else:
            found, status = _Found(refusal=verdict.fault), "rejected"
        row = DeliveryRow(
            id=delivery_id,
            environment=source.environment,
            source_id=source.id,
            external_id=found.external_id,
            status=status,
            event_id=found.emission.record.id if found.emission is not None else "",
            event_name=found.event_name,
            error=_text(found.refusal),
            signature_key=verdict.key,
            duplicate=0,
            headers=deliveries.kept_headers(request.headers.items()),
            body=request.body,
            body_bytes=len(request.body),
            created_at=now,
        )
        return Delivery(row, found.emission, found.refusal)

    def replayed(self, first: DeliveryRow, delivery: Delivery) -> Delivery:
        """The delivery as a replay of `first`; of an accepted one its event is a new one, whatever its id."""
        emission = delivery.emission
        if emission is not None and first.status == "accepted":
            emission = replace(emission, record=replace(emission.record, idempotency_key=None), key_scope="")
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

    def _found(
        self, source: SourceRow, request: WebhookRequest, delivery_id: str, now: Millis, trace: TraceContext | None
    ) -> _Found:
        try:
            data, payload = request.content()
        except IronflowError as refusal:
            return _Found(refusal=refusal)
        descriptor = descriptor_of(source)
        external_id = dedup_id(descriptor, payload, request.headers).replace("\0", "")[:EXTERNAL_ID_CHARS_MAX]
        if challenge_of(source, payload) is not None:
            return _Found(external_id)
        name = event_name(descriptor, source.event_prefix, payload, request.headers)
        shown = name[:EVENT_NAME_CHARS_MAX]
        if not name:
            path = descriptor.event_name_path or "type"
            refusal = InvalidEvent(f"The request has no event name at {path}, and the source no event_prefix.")
            return _Found(external_id, shown, refusal=refusal)
        try:
            record = record_of(
                event_id=self._ids.new("evt"),
                environment=source.environment,
                name=name,
                data=data,
                metadata=Json(write_json({"webhook": {"source_id": source.id, "delivery_id": delivery_id}})),
                version=source.schema_version,
                namespace="default",
                idempotency_key=_key_of(external_id),
                run_id="",
                emitted_by=f"webhook:{source.id}",
                data_bytes_max=self._data_bytes_max,
                now=now,
                trace=trace,
                source=WEBHOOK,
            )
        except IronflowError as refusal:
            return _Found(external_id, shown, refusal=refusal)
        return _Found(external_id, shown, Emission(record, now, key_scope=f"webhook:{source.id}"))


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
    row = delivery.row
    if answer.duplicate:
        row = replace(row, event_id=answer.event_id, duplicate=1)
    return Outcome(row, answer.run_ids, None)


def _refused(row: DeliveryRow, status: str, refusal: IronflowError) -> DeliveryRow:
    return replace(row, status=status, event_id="", error=_text(refusal))


def _text(refusal: IronflowError | None) -> str:
    return "" if refusal is None else refusal.message[:ERROR_CHARS_MAX].replace("\0", "")


def _key_of(external_id: str) -> str:
    """The idempotency key of a delivery, empty without an id."""
    if not external_id or _KEY.fullmatch(external_id):
        return external_id
    return hashlib.sha256(external_id.encode("utf-8", "surrogatepass")).hexdigest()


def decode(text: str) -> dict[str, str]:
    """Kept headers as they came."""
    return msgspec.json.decode(text, type=dict[str, str])

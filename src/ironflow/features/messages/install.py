"""Puts the feature into a server."""

from ironflow.engine.model import Run
from ironflow.features.events.in_tx import Emitter
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.messages import store
from ironflow.features.messages.loops import PurgeMessages
from ironflow.features.messages.service import Messages
from ironflow.features.parts import Parts
from ironflow.features.runs.in_tx import RunDeletion, RunRepository
from ironflow.features.secrets.in_tx import Vault
from ironflow.storage.port import Tx


def install(parts: Parts) -> None:
    settings = parts.settings
    index, vault = parts.need(FunctionIndex), parts.need(Vault)

    def secret_texts(tx: Tx, run: Run) -> tuple[str, ...]:
        index.refresh(tx)
        function = index.get(run.environment, run.function_id)
        names = function.secrets if function is not None else ()
        return vault.recognized(tx, run.environment, names) if names else ()

    messages = Messages(
        parts.db,
        parts.notifier,
        parts.need(RunRepository),
        parts.need(Emitter),
        parts.ids,
        lease_ms=settings.lease_ms,
        data_bytes_max=settings.event_bytes_max,
        answer_bytes_max=settings.output_bytes_max,
        unread_max=settings.messages_unread_max,
        secret_texts=secret_texts,
    )
    parts.need(RunDeletion).others.append(store.drop)
    parts.bind(messages.handlers())
    parts.loops.append(PurgeMessages(parts.db, settings.message_retention_days))

"""What happens: one method for each operation of the feature."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from ironflow.base.call import Call
from ironflow.base.operation import Operation
from ironflow.base.time import to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.config import contract, notices, rules
from ironflow.features.kv import in_tx as buckets
from ironflow.features.kv.contract import RevisionConflict
from ironflow.features.kv.in_tx import EntryRow, condition_of
from ironflow.features.kv.service import Watcher
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx

BUCKET = "$config"


class ConfigDocuments:
    """JSON documents by name. A document is a key of the environment's bucket `$config`."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._db = db
        self._notifier = notifier

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.set_config: self.set,
            contract.patch_config: self.patch,
            contract.get_config: self.get,
            contract.list_configs: self.list,
            contract.delete_config: self.delete,
            contract.watch_config: self.watch,
        }

    async def set(self, call: Call, request: contract.SetConfig) -> contract.ConfigSet:
        text = rules.document(request.data)
        return await self._write(call, contract.set_config, request, lambda tx: text)

    async def patch(self, call: Call, request: contract.SetConfig) -> contract.ConfigSet:
        patch = rules.document(request.data)

        def text(tx: Tx) -> bytes:
            # The writers of a bucket take turns, so no other changes the document between this read and the write.
            buckets.lock(tx, call.environment, BUCKET, call.now)
            before = buckets.value_of(tx, call.environment, BUCKET, request.name)
            return rules.merged(before[1] if before else None, patch)

        return await self._write(call, contract.patch_config, request, text)

    async def get(self, call: Call, request: contract.NamedConfig) -> contract.Config:
        found = await self._db.peek(lambda tx: buckets.value_of(tx, call.environment, BUCKET, request.name))
        if found is None:
            raise contract.ConfigNotFound(
                f"There is no config document {request.name!r} in environment {call.environment!r}."
            )
        entry, text = found
        return contract.Config(
            name=entry.key,
            data=msgspec.Raw(text),
            revision=entry.revision,
            updated_at=to_datetime(entry.created_at),
        )

    async def list(self, call: Call, request: contract.ListConfigs) -> contract.Configs:
        def look(tx: Tx) -> list[tuple[EntryRow, bytes]]:
            return buckets.live_after(tx, call.environment, BUCKET, request.cursor, request.limit)

        found = [entry for entry, _ in await self._db.read(look)]
        return contract.Configs(
            configs=[
                contract.ConfigSummary(name=each.key, revision=each.revision, updated_at=to_datetime(each.created_at))
                for each in found
            ],
            next_cursor=found[-1].key if len(found) == request.limit else None,
        )

    async def delete(self, call: Call, request: contract.DeleteConfig) -> None:
        rules.check_name(request.name)
        condition = condition_of(request.if_match, None)

        def change(tx: Tx) -> None:
            was_there = buckets.value_of(tx, call.environment, BUCKET, request.name) is not None
            revision = buckets.write(tx, call.environment, BUCKET, request.name, None, condition, call.now)
            if was_there:
                _note(tx, call, contract.delete_config, request, "config.deleted", revision)
                tx.publish_local(notices.deleted(call.environment, request.name, revision, call.now))

        try:
            await self._db.write(change)
        except RevisionConflict as conflict:
            raise contract.ConfigConflict(conflict.message) from None

    async def watch(
        self, call: Call, request: contract.WatchConfig
    ) -> AsyncGenerator[contract.ConfigFrame | None, None]:
        rules.check_name(request.name)
        watcher = Watcher(self._db, self._notifier, call.environment, BUCKET)
        await self._db.write(lambda tx: buckets.make_sure_of(tx, call.environment, BUCKET, call.now))
        start = await watcher.start(request.after)
        yield None
        if request.after is None if request.initial is None else request.initial:
            found = await self._db.peek(lambda tx: buckets.value_of(tx, call.environment, BUCKET, request.name))
            if found is not None:
                yield _frame(*found)
                start = max(start, found[0].revision)
        async with aclosing(watcher.changes(start)) as changes:
            async for entry, text in changes:
                if entry.key == request.name:
                    yield _frame(entry, text)

    async def _write(
        self, call: Call, operation: Operation[Any, Any], request: contract.SetConfig, text: Any
    ) -> contract.ConfigSet:
        rules.check_name(request.name)
        condition = condition_of(request.if_match, request.if_none_match)

        def change(tx: Tx) -> int:
            content = text(tx)
            before = buckets.value_of(tx, call.environment, BUCKET, request.name)
            revision = buckets.write(tx, call.environment, BUCKET, request.name, content, condition, call.now)
            _note(tx, call, operation, request, "config.changed", revision, before[0].revision if before else None)
            tx.publish_local(notices.updated(call.environment, request.name, content, revision, call.now))
            return revision

        try:
            return contract.ConfigSet(name=request.name, revision=await self._db.write(change))
        except RevisionConflict as conflict:
            raise contract.ConfigConflict(conflict.message) from None


def _note(
    tx: Tx,
    call: Call,
    operation: Operation[Any, Any],
    request: contract.SetConfig | contract.DeleteConfig,
    event_type: str,
    revision: int,
    before: int | None = None,
) -> None:
    summary = f"config document {request.name!r} {event_type.partition('.')[2]}"
    revisions = {"revision_before": before, "revision": revision}
    audit_notes.record(tx, call, operation, request, event_type, summary, name=request.name, **revisions)


def _frame(entry: EntryRow, text: bytes) -> contract.ConfigFrame:
    if entry.operation == "delete":
        return contract.ConfigFrame(type="config_delete", name=entry.key, revision=entry.revision)
    return contract.ConfigFrame(
        type="config_update",
        name=entry.key,
        data=msgspec.Raw(text),
        revision=entry.revision,
        updated_at=to_datetime(entry.created_at),
    )

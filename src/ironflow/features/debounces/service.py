"""The operations of the feature: listing and cancelling gathered events."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.time import to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.debounces import contract, store
from ironflow.features.debounces.store import Gathered
from ironflow.storage.port import Database, Tx


class Debounces:
    """The debounces feature."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db = db
        self._ids = ids

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.list_: self.list_, contract.cancel: self.cancel}

    async def list_(self, call: Call, request: contract.ListDebounces) -> contract.Debounces:
        found = await self._db.read(
            lambda tx: store.lanes_after(tx, call.environment, request.function_id, request.cursor, request.limit)
        )
        return contract.Debounces(
            entries=[_message(each) for each in found],
            count=len(found),
            next_cursor=found[-1].id if len(found) == request.limit else None,
        )

    async def cancel(self, call: Call, request: contract.CancelDebounce) -> None:
        def change(tx: Tx) -> None:
            lane = store.drop(tx, call.environment, request.id)
            if lane is None:
                raise contract.DebounceNotFound(f"There is no pending debounce {request.id[:80]!r}; it may have fired.")
            _note(tx, call, request, lane)

        await self._db.write(change)


def _note(tx: Tx, call: Call, request: contract.CancelDebounce, lane: Gathered) -> None:
    audit_notes.record(
        tx,
        call,
        contract.cancel,
        request,
        "debounce.cancelled",
        f"{lane.events} gathered events were forgotten; they start no run",
        function_id=lane.function_id,
        debounce_id=lane.id,
        key=lane.key,
        event_id=lane.event_id,
        events=lane.events,
        first_at=to_datetime(lane.first_at),
        fire_at=to_datetime(lane.fire_at),
    )


def _message(lane: Gathered) -> contract.Debounce:
    return contract.Debounce(
        id=lane.id,
        function_id=lane.function_id,
        key=lane.key,
        event_id=lane.event_id,
        events=lane.events,
        first_at=to_datetime(lane.first_at),
        fire_at=to_datetime(lane.fire_at),
    )

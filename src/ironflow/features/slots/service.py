"""What happens: looking at slots."""

from typing import Any

from ironflow.base.call import Call
from ironflow.features.functions.contract import FunctionNotFound
from ironflow.features.functions.in_tx import FunctionIndex, Startable
from ironflow.features.slots import contract, rules, store
from ironflow.storage.port import Database, Tx

LANES_MAX = 100
RUNS_MAX = 20
SCANNED_MAX = 10_000


class Slots:
    """The slots feature."""

    def __init__(self, db: Database, index: FunctionIndex) -> None:
        self._db = db
        self._index = index

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.list_: self.list_}

    async def list_(self, call: Call, request: contract.ListSlots) -> contract.SlotLanes:
        def look(tx: Tx) -> contract.SlotLanes:
            self._index.refresh(tx)
            function = self._index.get(call.environment, request.function_id)
            if function is None or function.status == "deleted":
                raise FunctionNotFound(
                    f"There is no function {request.function_id[:80]!r} in environment {call.environment!r}.",
                    function_id=request.function_id,
                )
            counts, truncated = store.occupation(tx, call.environment, function.id, SCANNED_MAX)
            ordered = sorted(counts, key=lambda each: (-each.waiting, -each.held, each.slot_key))
            lanes = [self._lane(tx, function, each) for each in ordered[:LANES_MAX]]
            return contract.SlotLanes(lanes=lanes, truncated=truncated)

        return await self._db.read(look)

    def _lane(self, tx: Tx, function: Startable, count: store.Occupation) -> contract.SlotLane:
        pool = rules.pool_of(function.environment, function.id, count.slot_key, paired=False)
        scope = rules.scope_of(count.slot_key)
        limit = (
            self._index.scope_limit(function.environment, scope)
            if scope
            else rules.slot_limit(function, count.slot_key)
        )
        holders = store.holders(tx, pool, max(limit, RUNS_MAX))
        return contract.SlotLane(
            kind="scope" if scope else rules.kind_of(count.slot_key),
            scope=scope,
            key=rules.key_of(count.slot_key),
            limit=limit,
            # Runs of other functions hold slots of a shared limit, too.
            held=max(count.held, len(holders)),
            waiting=count.waiting,
            holders=holders[:RUNS_MAX],
            next=store.waiting(tx, pool, RUNS_MAX),
        )

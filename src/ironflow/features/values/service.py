"""What happens: reading the values of runs, and waiting for them."""

import asyncio
from typing import Any

from ironflow.base.call import Call
from ironflow.base.json import Json
from ironflow.base.time import to_datetime
from ironflow.engine.model import Run
from ironflow.features.keys import in_tx as keys
from ironflow.features.runs.contract import RunNotFound
from ironflow.features.runs.in_tx import StoredValue, look, value_of, values_of
from ironflow.features.values import contract
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx

# A lost notification, or the end of the run, is found after this at the latest.
LOOK_AGAIN_S = 1.0


class Values:
    """The values feature."""

    def __init__(self, db: Database, notifier: Notifier) -> None:
        self._db = db
        self._notifier = notifier

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.get: self.get, contract.list_: self.list_}

    async def get(self, call: Call, request: contract.GetValue) -> contract.Value:
        deadline = asyncio.get_running_loop().time() + request.wait_ms / 1000

        def find(tx: Tx) -> tuple[Run, StoredValue | None]:
            run = _run(tx, call, request.run_id)
            return run, value_of(tx, run.id, request.name)

        run, found = await self._db.peek(find)
        with self._notifier.waiter("run_values", run.id) as waiter:
            while True:
                run, found = await self._db.peek(find)
                if found is not None and found.version > request.after:
                    return _message(run, found)
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0 or run.ended:
                    break
                await waiter.wait(min(left, LOOK_AGAIN_S))
        if found is not None:
            return _message(run, found)
        state = f"It has ended: {run.status}." if run.ended else "It has not ended: wait for the value with wait_ms."
        raise contract.ValueNotFound(
            f"Run {run.id} has set no value {request.name[:80]!r}. {state}", details={"ended": run.ended}
        )

    async def list_(self, call: Call, request: contract.ListValues) -> contract.Values:
        def find(tx: Tx) -> contract.Values:
            run = _run(tx, call, request.run_id)
            found = values_of(tx, run.id, request.cursor, request.limit + 1)
            page = found[: request.limit]
            return contract.Values(
                run_id=run.id,
                values=[_message(run, each) for each in page],
                next_cursor=page[-1].name if len(found) > len(page) else None,
            )

        return await self._db.read(find)


def _run(tx: Tx, call: Call, given: str) -> Run:
    run_id = keys.run_id_of(tx, call.environment, given)
    run = look(tx, [run_id]).get(run_id)
    if run is None or run.environment != call.environment:
        raise RunNotFound(f"There is no run {given[:140]!r} in environment {call.environment!r}.", run_id=given)
    return run


def _message(run: Run, found: StoredValue) -> contract.Value:
    return contract.Value(
        run_id=run.id,
        name=found.name,
        value=Json(found.value.encode()),
        version=found.version,
        updated_at=to_datetime(found.updated_at),
        run_ended=run.ended,
    )

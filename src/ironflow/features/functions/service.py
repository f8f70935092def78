"""What happens: registering, listing and switching functions."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from ironflow.base.call import Call
from ironflow.base.operation import Operation
from ironflow.base.time import to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.functions import contract, rules, schedules, store
from ironflow.features.functions.index import FunctionIndex
from ironflow.features.functions.notices import function_notice
from ironflow.features.functions.rules import FunctionRow
from ironflow.storage.port import STORAGE_FAULTS, Database, Tx

logger = logging.getLogger(__name__)

T = TypeVar("T")

LIMIT_DEFAULT = 100


class Functions:
    """The functions feature."""

    def __init__(self, db: Database, index: FunctionIndex) -> None:
        self._db = db
        self._index = index

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.register: self.register,
            contract.get: self.get,
            contract.list_: self.list_,
            contract.update_status: self.update_status,
            contract.delete: self.delete,
            contract.list_ticks: self.list_ticks,
        }

    async def register(self, call: Call, request: contract.RegisterFunction) -> contract.Registered:
        config = rules.config_of(request)

        def change(tx: Tx) -> tuple[contract.Registered, rules.Change]:
            known = store.function(tx, call.environment, request.id, to_change=True)
            verdict = rules.decide_registration(known, config)
            if verdict == "same" and known is not None:
                return contract.Registered(function=_shown(tx, known), created=False), verdict
            function = FunctionRow(
                environment=call.environment,
                id=request.id,
                version=known.version + 1 if known else 1,
                status=known.status if known and verdict == "updated" else "active",
                config=config,
                code_hash=rules.code_hash_of(config),
                epoch=store.next_epoch(tx),
                created_at=known.created_at if known else call.now,
                updated_at=call.now,
            )
            store.save(tx, function)
            store.add_version(tx, function, request.change_reason, call.principal.name, call.now)
            schedules.replace_schedules(tx, function, call.now)
            tx.notify("functions")
            tx.publish_local(function_notice(function, "registered" if verdict == "created" else "updated"))
            return contract.Registered(function=_shown(tx, function), created=verdict == "created"), verdict

        registered, verdict = await self._change(change)
        if verdict != "same":
            for warning in registered.function.warnings:
                about = {"environment": call.environment, "function_id": request.id, "warning": warning}
                logger.warning("registered without effect", extra=about)
        return registered

    async def get(self, call: Call, request: contract.GetFunction) -> contract.Function:
        def look(tx: Tx) -> contract.Function:
            function = store.function(tx, call.environment, request.id)
            if function is None or function.status == "deleted":
                raise _not_found(request.id, call.environment)
            return _shown(tx, function)

        return await self._db.peek(look)

    async def list_(self, call: Call, request: contract.ListFunctions) -> contract.Functions:
        limit = request.limit or LIMIT_DEFAULT
        statuses = [request.status.value] if request.status else ["active", "paused", "archived"]

        def look(tx: Tx) -> contract.Functions:
            known = store.in_status(tx, call.environment, statuses)
            selected = [function for function in known if rules.is_selected(function, request.name, request.mode)]
            following = [function for function in selected if function.id > request.cursor][request.offset :]
            page = following[:limit]
            next_at = schedules.next_runs(tx, call.environment, [function.id for function in page])
            return contract.Functions(
                functions=[rules.function_message(function, next_at.get(function.id)) for function in page],
                next_cursor=page[-1].id if len(following) > limit else None,
                total_count=len(selected),
            )

        return await self._db.read(look)

    async def list_ticks(self, call: Call, request: contract.ListFunctionTicks) -> contract.FunctionTicks:
        def look(tx: Tx) -> contract.FunctionTicks:
            function = store.function(tx, call.environment, request.function_id)
            if function is None or function.status == "deleted":
                raise _not_found(request.function_id, call.environment)
            ticks = schedules.ticks_to_come(function, call.now, request.limit)
            return contract.FunctionTicks(
                ticks=[
                    contract.FunctionTick(at=to_datetime(at), cron=trigger.cron, timezone=trigger.timezone)
                    for at, trigger in ticks
                ]
            )

        return await self._db.read(look)

    async def update_status(self, call: Call, request: contract.UpdateFunctionStatus) -> contract.Function:
        return await self._set_status(call, contract.update_status, request, request.status.value)

    async def delete(self, call: Call, request: contract.GetFunction) -> None:
        await self._set_status(call, contract.delete, request, "deleted")

    async def _set_status(
        self,
        call: Call,
        operation: Operation[Any, Any],
        request: contract.UpdateFunctionStatus | contract.GetFunction,
        status: str,
    ) -> contract.Function:
        function_id = request.id

        def change(tx: Tx) -> contract.Function:
            known = store.function(tx, call.environment, function_id, to_change=True)
            if known is None or known.status == "deleted":
                raise _not_found(function_id, call.environment)
            function = replace(known, status=status, epoch=store.next_epoch(tx), updated_at=call.now)
            store.save(tx, function)
            schedules.replace_schedules(tx, function, call.now)
            tx.notify("functions")
            tx.publish_local(function_notice(function, "deleted" if status == "deleted" else "updated"))
            audit_notes.record(
                tx,
                call,
                operation,
                request,
                "function.deleted" if status == "deleted" else "function.status_changed",
                f"function {function.id!r} is {status}",
                function_id=function.id,
                status=status,
                status_before=known.status,
            )
            return _shown(tx, function)

        return await self._change(change)

    async def _change(self, change: Callable[[Tx], T]) -> T:
        try:
            return await self._db.write(change)
        except STORAGE_FAULTS:
            self._index.doubt()
            raise


def _shown(tx: Tx, function: FunctionRow) -> contract.Function:
    """The function as clients see it, with its next tick if it has a schedule."""
    next_at = schedules.next_runs(tx, function.environment, [function.id])
    return rules.function_message(function, next_at.get(function.id))


def _not_found(function_id: str, environment: str) -> contract.FunctionNotFound:
    return contract.FunctionNotFound(
        f"There is no function {function_id!r} in environment {environment!r}. "
        "Register it, or start the worker that does.",
        function_id=function_id,
    )

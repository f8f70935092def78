"""What happens: one method for each operation of the feature."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.operation import Operation
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.environments import in_tx as environments
from ironflow.features.limits import contract, rules, store
from ironflow.features.limits.limiter import CHANGED
from ironflow.features.limits.limiter import Limiter as Limiter
from ironflow.features.limits.rules import LimitRow
from ironflow.features.policies.service import check_all_environments
from ironflow.features.usage.in_tx import Usage, usage_at
from ironflow.storage.port import Database, Tx


class Limits:
    """Limits of keys, users and environments."""

    def __init__(self, db: Database, limiter: Limiter) -> None:
        self._db, self._limiter = db, limiter

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.set_: self.set, contract.list_: self.list_, contract.delete: self.delete}

    async def set(self, call: Call, request: contract.SetLimit) -> contract.Limit:
        check_all_environments(call, "limits")
        rules.check_subject(request.subject)
        row = LimitRow(
            request.subject,
            request.requests_per_second,
            request.burst,
            request.connections,
            request.event_bytes_per_day,
            request.stored_bytes,
        )
        rules.check_bytes(row)

        def change(tx: Tx) -> None:
            store.save(tx, row)
            _note(tx, call, contract.set_, request, "limit.set", **row._asdict())

        await self._db.write(change)
        # At once on this node; the others look every few seconds.
        self._limiter.read_again()
        await self._limiter.look_at_usage(call.now)
        return self._message(row, await self._usage(call))

    async def list_(self, call: Call, request: contract.ListLimits) -> contract.Limits:
        check_all_environments(call, "limits")
        found = await self._db.read(lambda tx: store.limits_after(tx, request.cursor, request.limit))
        more = found[-1].subject if len(found) == request.limit else None
        used = await self._usage(call)
        return contract.Limits(limits=[self._message(each, used) for each in found], next_cursor=more)

    async def _usage(self, call: Call) -> dict[str, Usage]:
        """By the names that environments have now."""

        def look(tx: Tx) -> dict[str, Usage]:
            used, rows_as = usage_at(tx, call.now), environments.rows_by_name(tx)
            found = {name: used.get(rows, Usage()) for name, rows in rows_as.items()}
            return found | {name: used[name] for name in used.keys() - found.keys() if rules.rows_of(name, rows_as)}

        return await self._db.read(look)

    async def delete(self, call: Call, request: contract.NamedLimit) -> None:
        check_all_environments(call, "limits")

        def change(tx: Tx) -> None:
            if not store.delete(tx, request.subject):
                raise contract.LimitNotFound(f"There is no limit for {request.subject[:140]!r}.")
            _note(tx, call, contract.delete, request, "limit.deleted", subject=request.subject)

        await self._db.write(change)

    def _message(self, limit: LimitRow, usage: dict[str, Usage]) -> contract.Limit:
        kind, _, name = limit.subject.partition(":")
        used = usage.get(name, Usage()) if kind == "env" and name != "*" else None
        refused = sum(
            number
            for (subject, _), number in self._limiter.refused.items()
            if subject == limit.subject or (limit.subject == f"{kind}:*" and subject.startswith(f"{kind}:"))
        )
        return contract.Limit(
            **limit._asdict(),
            refused=refused,
            event_bytes_today=used.event_bytes_today if used else None,
            stored_bytes_now=used.stored_bytes if used else None,
        )


def _note(tx: Tx, call: Call, operation: Operation[Any, Any], request: Any, event_type: str, **details: Any) -> None:
    summary = f"limit of {details['subject']}: {event_type.partition('.')[2]}"
    audit_notes.record(tx, call, operation, request, event_type, summary, **details)
    tx.notify(CHANGED)

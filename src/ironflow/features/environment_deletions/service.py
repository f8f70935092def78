"""What happens: one method for each operation of the feature."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.time import to_datetime
from ironflow.features.environment_deletions import contract, store
from ironflow.features.environment_deletions.rules import DeletionRow
from ironflow.features.policies.service import check_all_environments
from ironflow.storage.port import Database


class EnvironmentDeletions:
    """How far deletions are. They are kept as a record, and so that no new environment has the rows of an old one."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.get: self.get, contract.list_: self.list_}

    async def get(self, call: Call, request: contract.NamedDeletion) -> contract.Deletion:
        check_all_environments(call, "deletions of environments")
        found = await self._db.peek(lambda tx: store.deletion(tx, request.id))
        if found is None:
            raise contract.DeletionNotFound(f"There is no deletion of an environment {request.id[:140]!r}.")
        return _message(found)

    async def list_(self, call: Call, request: contract.ListDeletions) -> contract.Deletions:
        check_all_environments(call, "deletions of environments")
        found = await self._db.read(lambda tx: store.deletions_after(tx, request.cursor, request.limit))
        more = found[-1].id if len(found) == request.limit else None
        return contract.Deletions(deletions=[_message(each) for each in found], next_cursor=more)


def _message(row: DeletionRow) -> contract.Deletion:
    return contract.Deletion(
        id=row.id,
        name=row.name,
        status=row.status,
        table=row.at_table,
        rows_removed=row.rows_removed,
        started_by=row.started_by,
        started_at=to_datetime(row.started_at),
        updated_at=to_datetime(row.updated_at),
        ended_at=to_datetime(row.ended_at) if row.ended_at else None,
    )

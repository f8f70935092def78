"""What happens: reading the states of entities."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.entity_streams import parts_of, stream_of
from ironflow.base.json import Json
from ironflow.base.time import to_datetime
from ironflow.features.entities import contract, store
from ironflow.features.entities.rules import StateRow
from ironflow.storage.port import Database


class Entities:
    """The entities feature."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.get: self.get, contract.list_: self.list_}

    async def get(self, call: Call, request: contract.GetEntity) -> contract.Entity:
        entity_id = stream_of(request.entity, request.key)
        row = await self._db.peek(lambda tx: store.states(tx, call.environment, [entity_id]).get(entity_id))
        if row is None:
            raise contract.EntityNotFound(
                f"No handler has set a state of {request.entity[:60]!r} with key {request.key[:60]!r} in environment "
                f"{call.environment!r}."
            )
        return _message(row)

    async def list_(self, call: Call, request: contract.ListEntities) -> contract.Entities:
        cursor = stream_of(request.entity, request.cursor)
        found, more = await self._db.read(
            lambda tx: store.page(tx, call.environment, request.entity, cursor, request.limit)
        )
        return contract.Entities(
            entities=[_message(row) for row in found],
            next_cursor=parts_of(more)[1] if more is not None else None,
        )


def _message(row: StateRow) -> contract.Entity:
    entity, key = parts_of(row.entity_id)
    return contract.Entity(
        entity=entity,
        key=key,
        entity_id=row.entity_id,
        state=Json(row.state.encode()),
        version=row.version,
        updated_at=to_datetime(row.updated_at),
        run_id=row.run_id,
    )

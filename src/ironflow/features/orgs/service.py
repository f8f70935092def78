"""What happens: one method for each operation of the feature."""

from collections.abc import Callable
from typing import Any

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.operation import Operation
from ironflow.base.time import to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.orgs import contract, in_tx, store
from ironflow.features.orgs.store import DEFAULT_ID, OrgRow
from ironflow.features.policies.service import check_all_environments
from ironflow.storage.port import Database, Tx

# How many projects an organisation has.
CountProjects = Callable[[Tx, str], int]


class Orgs:
    """Organisations. count_projects: given by the feature of the projects, which knows this one."""

    def __init__(self, db: Database, ids: Ids, count_projects: CountProjects) -> None:
        self._db, self._ids, self._count_projects = db, ids, count_projects

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.list_: self.list_,
            contract.get: self.get,
            contract.update: self.update,
            contract.delete: self.delete,
        }

    async def create(self, call: Call, request: contract.CreateOrg) -> contract.Org:
        check_all_environments(call, "organisations")
        org = OrgRow(self._ids.new("org"), request.name, "", call.now, call.now)

        def change(tx: Tx) -> None:
            store.add(tx, org)
            _note(tx, call, contract.create, request, "org.created", org)

        await self._db.write(change)
        return _message(org)

    async def list_(self, call: Call, request: contract.ListOrgs) -> contract.Orgs:
        check_all_environments(call, "organisations")
        found = await self._db.read(lambda tx: store.orgs_after(tx, request.cursor, request.limit))
        more = found[-1].id if len(found) == request.limit else None
        return contract.Orgs(orgs=[_message(each) for each in found], next_cursor=more)

    async def get(self, call: Call, request: contract.NamedOrg) -> contract.Org:
        check_all_environments(call, "organisations")
        return _message(await self._db.peek(lambda tx: in_tx.org(tx, request.id)))

    async def update(self, call: Call, request: contract.UpdateOrg) -> contract.Org:
        check_all_environments(call, "organisations")

        def change(tx: Tx) -> OrgRow:
            old = in_tx.org(tx, request.id, to_write=True)
            new = old._replace(
                name=old.name if request.name is None else request.name,
                timezone=old.timezone if request.preferences is None else request.preferences.default_timezone,
                updated_at=call.now,
            )
            store.save(tx, new)
            _note(tx, call, contract.update, request, "org.updated", new, name_before=old.name)
            return new

        return _message(await self._db.write(change))

    async def delete(self, call: Call, request: contract.NamedOrg) -> None:
        check_all_environments(call, "organisations")

        def change(tx: Tx) -> None:
            org = in_tx.org(tx, request.id, to_write=True)
            if org.id == DEFAULT_ID:
                raise contract.OrgInUse("The organisation org_default is always there.")
            projects = self._count_projects(tx, org.id)
            if projects:
                raise contract.OrgInUse(f"Organisation {org.name!r} has {projects} projects. Delete them first.")
            store.delete(tx, org.id)
            _note(tx, call, contract.delete, request, "org.deleted", org)

        await self._db.write(change)


def _note(
    tx: Tx, call: Call, operation: Operation[Any, Any], request: Any, event_type: str, org: OrgRow, **details: Any
) -> None:
    summary = f"organisation {org.name!r} {event_type.partition('.')[2]}"
    audit_notes.record(tx, call, operation, request, event_type, summary, org_id=org.id, name=org.name, **details)


def _message(org: OrgRow) -> contract.Org:
    return contract.Org(
        id=org.id,
        name=org.name,
        created_at=to_datetime(org.created_at),
        updated_at=to_datetime(org.updated_at),
        preferences=contract.Preferences(default_timezone=org.timezone) if org.timezone else None,
    )

"""What happens: listing tenants, and making one in a single transaction."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.time import to_datetime
from ironflow.features.api_keys import in_tx as api_keys
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.environments import in_tx as environments
from ironflow.features.orgs import in_tx as orgs
from ironflow.features.orgs.in_tx import OrgRow
from ironflow.features.policies.service import check_all_environments
from ironflow.features.projects import in_tx as projects
from ironflow.features.projects.in_tx import ProjectRow
from ironflow.features.tenants import contract
from ironflow.storage.port import Database, Tx


class Tenants:
    """Organisations with what belongs to them."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db, self._ids = db, ids

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.list_: self.list_, contract.provision: self.provision}

    async def list_(self, call: Call, request: contract.ListTenants) -> contract.Tenants:
        check_all_environments(call, "tenants")

        def look(tx: Tx) -> contract.Tenants:
            found = orgs.orgs_after(tx, request.cursor, request.limit)
            counted = environments.rows_by_org(tx, [each.id for each in found])
            tenants = [
                contract.Tenant(
                    id=each.id,
                    name=each.name,
                    env_count=len(counted.get(each.id, [])),
                    key_count=api_keys.count_of(tx, counted.get(each.id, [])),
                    created_at=to_datetime(each.created_at),
                )
                for each in found
            ]
            more = found[-1].id if len(found) == request.limit else None
            return contract.Tenants(tenants=tenants, next_cursor=more)

        return await self._db.read(look)

    async def provision(self, call: Call, request: contract.ProvisionTenant) -> contract.Provisioned:
        check_all_environments(call, "tenants")
        org_id, project_id = self._ids.new("org"), self._ids.new("proj")
        environment_id, key_id = self._ids.new("env"), self._ids.new("apikey")
        secret = api_keys.new_secret(self._ids)
        name = request.env or request.name

        def change(tx: Tx) -> None:
            orgs.add(tx, OrgRow(org_id, request.name, "", call.now, call.now))
            projects.add(tx, ProjectRow(project_id, org_id, request.name, "", call.now, call.now))
            rows_as = environments.create(tx, environment_id, name, project_id, call.now).rows_as
            maker = call.principal.name
            api_keys.add_admin(tx, key_id, secret, f"{request.name} admin"[:200], org_id, rows_as, maker, call.now)
            audit_notes.record(
                tx,
                call,
                contract.provision,
                request,
                "tenant.provisioned",
                f"tenant {request.name!r} provisioned",
                org_id=org_id,
                project_id=project_id,
                environment_id=environment_id,
                api_key_id=key_id,
            )

        await self._db.write(change)
        return contract.Provisioned(
            org_id=org_id,
            project_id=project_id,
            environment_id=environment_id,
            environment=name,
            api_key_id=key_id,
            key=secret,
        )

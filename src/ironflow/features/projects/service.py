"""What happens: one method for each operation of the feature."""

from collections.abc import Callable
from typing import Any

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.operation import Operation
from ironflow.base.time import to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.orgs import in_tx as orgs
from ironflow.features.policies.service import check_all_environments
from ironflow.features.projects import contract, in_tx, store
from ironflow.features.projects.store import DEFAULT_ID, ProjectRow
from ironflow.storage.port import Database, Tx

# How many environments a project has.
CountEnvironments = Callable[[Tx, str], int]


class Projects:
    """Projects. count_environments: given by the feature of the environments, which knows this one."""

    def __init__(self, db: Database, ids: Ids, count_environments: CountEnvironments) -> None:
        self._db, self._ids, self._count_environments = db, ids, count_environments

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.list_: self.list_,
            contract.update: self.update,
            contract.delete: self.delete,
        }

    async def create(self, call: Call, request: contract.CreateProject) -> contract.Project:
        check_all_environments(call, "projects")
        project_id = self._ids.new("proj")

        def change(tx: Tx) -> ProjectRow:
            # Locked, so that it is not deleted meanwhile.
            org = orgs.org(tx, request.org_id or orgs.DEFAULT_ID, to_write=True)
            project = ProjectRow(project_id, org.id, request.name, request.description, call.now, call.now)
            store.add(tx, project)
            _note(tx, call, contract.create, request, "project.created", project)
            return project

        return _message(await self._db.write(change))

    async def list_(self, call: Call, request: contract.ListProjects) -> contract.Projects:
        check_all_environments(call, "projects")
        found = await self._db.read(lambda tx: store.projects_after(tx, request.org_id, request.cursor, request.limit))
        more = found[-1].id if len(found) == request.limit else None
        return contract.Projects(projects=[_message(each) for each in found], next_cursor=more)

    async def update(self, call: Call, request: contract.UpdateProject) -> contract.Project:
        check_all_environments(call, "projects")

        def change(tx: Tx) -> ProjectRow:
            old = in_tx.project(tx, request.id, to_write=True)
            new = old._replace(
                name=old.name if request.name is None else request.name,
                description=old.description if request.description is None else request.description,
                updated_at=call.now,
            )
            store.save(tx, new)
            _note(tx, call, contract.update, request, "project.updated", new, name_before=old.name)
            return new

        return _message(await self._db.write(change))

    async def delete(self, call: Call, request: contract.NamedProject) -> contract.ProjectDeleted:
        check_all_environments(call, "projects")

        def change(tx: Tx) -> None:
            project = in_tx.project(tx, request.id, to_write=True)
            if project.id == DEFAULT_ID:
                raise contract.ProjectInUse("The project proj_default is always there.")
            environments = self._count_environments(tx, project.id)
            if environments:
                raise contract.ProjectInUse(
                    f"Project {project.name!r} has {environments} environments. Delete them first."
                )
            store.delete(tx, project.id)
            _note(tx, call, contract.delete, request, "project.deleted", project)

        await self._db.write(change)
        return contract.ProjectDeleted(deleted=request.id)


def _note(
    tx: Tx,
    call: Call,
    operation: Operation[Any, Any],
    request: Any,
    event_type: str,
    project: ProjectRow,
    **details: Any,
) -> None:
    summary = f"project {project.name!r} {event_type.partition('.')[2]}"
    about = {"project_id": project.id, "name": project.name, "org_id": project.org_id, **details}
    audit_notes.record(tx, call, operation, request, event_type, summary, **about)


def _message(project: ProjectRow) -> contract.Project:
    fields = project._asdict()
    for name in ("created_at", "updated_at"):
        fields[name] = to_datetime(fields[name])
    return contract.Project(**fields)

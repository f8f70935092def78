"""`client.projects`: what environments belong to."""

from ironflow.features.projects import contract
from ironflow.features.projects.contract import Project
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing


class Projects:
    """Projects. They need a key for all environments."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(self, name: str, *, description: str = "", org: str = "") -> Project:
        """A new project. org: id, empty for `org_default`. Raises OrgNotFound."""
        request = contract.CreateProject(name=name, description=description, org_id=org)
        return await self._calls.call(contract.create, request)

    def list(self, *, org: str = "", page_size: int = 1000) -> Listing[Project]:
        """Every project by id; of one organisation, or of all."""
        request = contract.ListProjects(org_id=org, limit=page_size, paged=True)
        return Listing(self._calls, contract.list_, request, lambda page: page.projects)

    async def update(self, project_id: str, *, name: str | None = None, description: str | None = None) -> Project:
        """Changes what is given. Raises ProjectNotFound."""
        request = contract.UpdateProject(id=project_id, name=name, description=description)
        return await self._calls.call(contract.update, request)

    async def delete(self, project_id: str) -> None:
        """Raises ProjectNotFound, ProjectInUse."""
        await self._calls.call(contract.delete, contract.NamedProject(id=project_id))

"""What other features do with projects inside their own transactions."""

from ironflow.features.projects import contract, store
from ironflow.features.projects.store import ProjectRow as ProjectRow
from ironflow.features.projects.store import add as add
from ironflow.features.projects.store import count_of_org as count_of_org
from ironflow.storage.port import Tx


def project(tx: Tx, project_id: str, *, to_write: bool = False) -> ProjectRow:
    """to_write: until the commit it is not deleted. Raises ProjectNotFound."""
    found = store.project(tx, project_id, to_write=to_write)
    if found is None:
        raise contract.ProjectNotFound(f"There is no project {project_id[:140]!r}. Create it first.")
    return found

"""What other features do with environments inside their own transactions."""

from collections.abc import Collection

from ironflow.base.environment import DEFAULT_ENVIRONMENT, environment_named
from ironflow.base.time import Millis
from ironflow.features.environment_deletions import in_tx as deletions
from ironflow.features.environments import contract, rules, store
from ironflow.features.environments.rules import EnvironmentRow
from ironflow.features.environments.store import count_of_project as count_of_project
from ironflow.features.orgs.in_tx import DEFAULT_ID as DEFAULT_ORG
from ironflow.features.projects import in_tx as projects
from ironflow.storage.port import Tx

# Notified when environments have changed; the key is `moved:` and what its rows carry for one with another project.
CHANGED = "environments"


def moved_in(notifications: set[str]) -> set[str]:
    """What the rows of the environments carry that have another project now."""
    return {each.removeprefix("moved:") for each in notifications if each.startswith("moved:")}


def rows_as(tx: Tx, id_or_name: str) -> str:
    """What the rows of this environment carry. Raises EnvironmentNotFound, InvalidEnvironment."""
    if environment_named(id_or_name) == DEFAULT_ENVIRONMENT:
        return DEFAULT_ENVIRONMENT
    found = store.environment(tx, id_or_name)
    if found is None:
        raise contract.EnvironmentNotFound(f"There is no environment {id_or_name!r}. Create it first.")
    return found.rows_as


def is_taken(tx: Tx, name: str) -> bool:
    """Whether rows of an environment carry this name, which was renamed or deleted since or has it still."""
    return store.is_taken(tx, name) or deletions.is_taken(tx, name)


def create(tx: Tx, environment_id: str, name: str, project_id: str, now: Millis, color: str = "") -> EnvironmentRow:
    """A new environment. Raises EnvironmentExists, InvalidEnvironment, ProjectNotFound."""
    rules.check_name(name)
    # Locked, so that it is not deleted meanwhile.
    projects.project(tx, project_id, to_write=True)
    environment = EnvironmentRow(
        id=environment_id,
        name=name,
        # Rows that were written under this name before it was created belong to it; a name that another had before it
        # was renamed or deleted is still in that one's rows.
        rows_as=environment_id if is_taken(tx, name) else name,
        project_id=project_id,
        color=color,
        created_at=now,
        updated_at=now,
    )
    if not store.add(tx, environment):
        raise contract.EnvironmentExists(f"There is an environment {name!r} already.")
    tx.notify(CHANGED)
    return environment


def org_of(tx: Tx, rows_as: str) -> str:
    """The organisation of the environment whose rows carry this."""
    return store.org_of(tx, rows_as) or DEFAULT_ORG


def orgs_of(tx: Tx, rows_as: Collection[str]) -> dict[str, str]:
    """As `org_of`, of each of these environments."""
    return dict.fromkeys(rows_as, DEFAULT_ORG) | store.orgs_of(tx, list(rows_as))


def rows_by_name(tx: Tx) -> dict[str, str]:
    """What the rows of each environment that was created carry, by its name and by its id."""
    return {key: each.rows_as for each in store.all_environments(tx) for key in (each.id, each.name)}


def rows_by_org(tx: Tx, org_ids: list[str]) -> dict[str, list[str]]:
    """What the rows of the environments of each organisation carry; `default` belongs to the default one."""
    found: dict[str, list[str]] = {DEFAULT_ORG: [DEFAULT_ENVIRONMENT]}
    for org_id, rows_as in store.rows_by_org(tx, org_ids):
        found.setdefault(org_id, []).append(rows_as)
    return found

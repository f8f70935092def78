"""What is remembered of environments."""

from collections.abc import Sequence

from ironflow.features.environments.rules import EnvironmentRow
from ironflow.storage.port import Tx

_COLUMNS = ", ".join(EnvironmentRow._fields)
INSERT = f"""INSERT INTO environments ({_COLUMNS})
VALUES (:id, :name, :rows_as, :project_id, :color, :created_at, :updated_at) ON CONFLICT (name) DO NOTHING"""
ONE = f"SELECT {_COLUMNS} FROM environments WHERE id = :id OR name = :id"
ROWS_TAKEN = "SELECT 1 FROM environments WHERE rows_as = :rows_as"
OTHER_OF_NAME = "SELECT 1 FROM environments WHERE name = :name AND id <> :id"
AFTER = f"""SELECT {_COLUMNS} FROM environments
WHERE id > :cursor AND (:project_id = '' OR project_id = :project_id) ORDER BY id LIMIT :limit"""
ALL = f"SELECT {_COLUMNS} FROM environments"
COUNT_OF_PROJECT = "SELECT count(*) FROM environments WHERE project_id = :project_id"
ROWS_BY_ORG = """SELECT p.org_id, e.rows_as FROM environments e JOIN projects p ON p.id = e.project_id
WHERE p.org_id IN {each:ids}"""
ORG_OF = """SELECT p.org_id FROM environments e JOIN projects p ON p.id = e.project_id WHERE e.rows_as = :rows_as"""
ORGS_OF = """SELECT e.rows_as, p.org_id FROM environments e JOIN projects p ON p.id = e.project_id
WHERE e.rows_as IN {each:rows_as}"""
SAVE = """UPDATE environments SET name = :name, project_id = :project_id, color = :color, updated_at = :updated_at
WHERE id = :id"""
DELETE = "DELETE FROM environments WHERE id = :id"
# What keeps an environment from being deleted.
KEEPS = (
    "api_keys",
    "events",
    "runs",
    "functions",
    "kv_buckets",
    "streams",
    "webhook_sources",
    "projections",
    "sql_projections",
    "event_schemas",
    "consumer_groups",
    "secrets",
    "named_schedules",
)


def _has_rows(tables: Sequence[str]) -> str:
    return " UNION ALL ".join(
        f"SELECT * FROM (SELECT '{table}' FROM {table} WHERE environment = :rows_as LIMIT 1) AS {table}_found"
        for table in tables
    )


HAS_ROWS = _has_rows(KEEPS)
# What keeps its name from another: also workers, which would take the jobs of the other's runs.
HAS_USERS = _has_rows((*KEEPS, "workers"))


def add(tx: Tx, environment: EnvironmentRow) -> bool:
    """Whether the name was free."""
    return tx.run(INSERT, environment._asdict()) > 0


def environment(tx: Tx, id_or_name: str, *, to_write: bool = False) -> EnvironmentRow | None:
    row = tx.row(ONE + " {for_update}" if to_write else ONE, {"id": id_or_name})
    return EnvironmentRow(*row) if row else None


def is_taken(tx: Tx, rows_as: str) -> bool:
    return tx.row(ROWS_TAKEN, {"rows_as": rows_as}) is not None


def has_another(tx: Tx, name: str, environment_id: str) -> bool:
    """Whether another environment has this name."""
    return tx.row(OTHER_OF_NAME, {"name": name, "id": environment_id}) is not None


def environments_after(tx: Tx, project_id: str, cursor: str, limit: int) -> list[EnvironmentRow]:
    """By id, after `cursor`; of one project, or of all when it is empty."""
    rows = tx.rows(AFTER, {"project_id": project_id, "cursor": cursor, "limit": limit})
    return [EnvironmentRow(*row) for row in rows]


def count_of_project(tx: Tx, project_id: str) -> int:
    row = tx.row(COUNT_OF_PROJECT, {"project_id": project_id})
    return row[0] if row else 0


def rows_by_org(tx: Tx, org_ids: list[str]) -> list[tuple[str, str]]:
    """(organisation, what rows carry) of every environment that was created in these organisations."""
    return [(row[0], row[1]) for row in tx.rows(ROWS_BY_ORG, {"ids": org_ids})]


def org_of(tx: Tx, rows_as: str) -> str:
    """The organisation of the environment whose rows carry this; empty where it was not created."""
    row = tx.row(ORG_OF, {"rows_as": rows_as})
    return row[0] if row else ""


def orgs_of(tx: Tx, rows_as: list[str]) -> dict[str, str]:
    """As `org_of`, of several; those that were not created are left out."""
    return {row[0]: row[1] for row in tx.rows(ORGS_OF, {"rows_as": rows_as})}


def all_environments(tx: Tx) -> list[EnvironmentRow]:
    return [EnvironmentRow(*row) for row in tx.rows(ALL)]


def save(tx: Tx, environment: EnvironmentRow) -> None:
    tx.run(SAVE, environment._asdict())


def delete(tx: Tx, environment_id: str) -> None:
    tx.run(DELETE, {"id": environment_id})


def tables_with_rows(tx: Tx, rows_as: str) -> list[str]:
    """What keeps the environment from being deleted."""
    return [row[0] for row in tx.rows(HAS_ROWS, {"rows_as": rows_as})]


def tables_in_use(tx: Tx, rows_as: str) -> list[str]:
    """What keeps its name from another environment."""
    return [row[0] for row in tx.rows(HAS_USERS, {"rows_as": rows_as})]

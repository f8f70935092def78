"""What is remembered of projects."""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.storage.port import Tx

DEFAULT_ID = "proj_default"


class ProjectRow(NamedTuple):
    id: str
    org_id: str
    name: str
    description: str
    created_at: Millis
    updated_at: Millis


_COLUMNS = ", ".join(ProjectRow._fields)
INSERT = f"""INSERT INTO projects ({_COLUMNS})
VALUES (:id, :org_id, :name, :description, :created_at, :updated_at)"""
ONE = f"SELECT {_COLUMNS} FROM projects WHERE id = :id"
AFTER = f"""SELECT {_COLUMNS} FROM projects
WHERE id > :cursor AND (:org_id = '' OR org_id = :org_id) ORDER BY id LIMIT :limit"""
SAVE = "UPDATE projects SET name = :name, description = :description, updated_at = :updated_at WHERE id = :id"
DELETE = "DELETE FROM projects WHERE id = :id"
COUNT_OF_ORG = "SELECT count(*) FROM projects WHERE org_id = :org_id"


def add(tx: Tx, project: ProjectRow) -> None:
    tx.run(INSERT, project._asdict())


def project(tx: Tx, project_id: str, *, to_write: bool = False) -> ProjectRow | None:
    row = tx.row(ONE + " {for_update}" if to_write else ONE, {"id": project_id})
    return ProjectRow(*row) if row else None


def projects_after(tx: Tx, org_id: str, cursor: str, limit: int) -> list[ProjectRow]:
    """By id, after `cursor`; of one organisation, or of all when it is empty."""
    return [ProjectRow(*row) for row in tx.rows(AFTER, {"org_id": org_id, "cursor": cursor, "limit": limit})]


def save(tx: Tx, project: ProjectRow) -> None:
    tx.run(SAVE, project._asdict())


def delete(tx: Tx, project_id: str) -> None:
    tx.run(DELETE, {"id": project_id})


def count_of_org(tx: Tx, org_id: str) -> int:
    row = tx.row(COUNT_OF_ORG, {"org_id": org_id})
    return row[0] if row else 0

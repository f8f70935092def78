"""An environment that is deleted loses its rows in every table, and no other loses any."""

import re
from pathlib import Path
from typing import Any

import pytest

from ironflow.features.environment_deletions import loops, rules, store
from ironflow.storage.port import Tx
from tests.support.keys import SEED, Guarded, open_guarded

# Tables of no environment.
OF_THE_SERVER = {
    "api_key_bootstraps", "audit_heads", "environment_deletions", "environments", "function_epoch", "limits",
    "log_head", "login_failures", "nodes", "orgs", "policies", "policy_versions", "projection_garbage", "projects",
    "role_policies", "roles", "schema_migrations", "session_keys", "sessions", "usage_heads", "user_bootstraps",
    "users",
}  # fmt: skip
CHILDREN = {(parent, child) for parent, children in rules.CHILDREN.items() for child in children}
EMIT = {"name": "order.placed", "data": {"n": 1}}
Columns = dict[str, dict[str, str]]


@pytest.fixture
async def columns(guarded: Guarded, database_url: str) -> Columns:
    """By table, the kind of each column in lower case."""
    sqlite = """SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"""
    postgres = """SELECT table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema = current_schema()"""
    found: Columns = {}
    for table, column, kind in await guarded.db.read(
        lambda tx: tx.rows(postgres if database_url.startswith("postgres") else sqlite)
    ):
        found.setdefault(table, {})[column] = kind.lower()
    return found


def value_of(kind: str, column: str, environment: str, number: int) -> Any:
    if column == "environment":
        return environment
    if "text" in kind:
        return f"{environment}-{number}"
    if "blob" in kind or "bytea" in kind:
        return b"x"
    # Positions are unique over all environments.
    return number + (1_000 if environment == "b" else 0)


def fill(tx: Tx, columns: Columns, environment: str, rows: int) -> None:
    """Rows in every table of an environment, and in the tables of their children."""
    for table, kinds in columns.items():
        if "environment" in kinds or table in {child.table for _, child in CHILDREN}:
            names = ", ".join(kinds)
            values = ", ".join(f":{name}" for name in kinds)
            given = [
                {name: value_of(kind, name, environment, number) for name, kind in kinds.items()}
                for number in range(1, rows + 1)
            ]
            # Some tables have one row of an environment.
            tx.many(f"INSERT INTO {table} ({names}) VALUES ({values}) ON CONFLICT DO NOTHING", given)


def counts(tx: Tx, columns: Columns, environment: str) -> dict[str, int]:
    """Rows of each table that are the environment's; of children, those that name one of its parents."""
    found: dict[str, int] = {}
    for table, kinds in columns.items():
        if "environment" in kinds:
            row = tx.row(f"SELECT count(*) FROM {table} WHERE environment = :e", {"e": environment})
            found[table] = row[0] if row else 0
    for _, child in CHILDREN:
        sql = f"SELECT count(*) FROM {child.table} WHERE {child.column} LIKE :e"
        row = tx.row(sql, {"e": f"{environment}-%"})
        found[child.table] = row[0] if row else 0
    return found


async def finish(guarded: Guarded) -> None:
    """Runs the loop until it has no more to do now."""
    (loop,) = [each for each in guarded.inside.all_loops if each.name == "environment-deletions"]
    for _ in range(1_000):
        if not (await loop.run_once(guarded.now)).more:
            return
    raise AssertionError("the deletion does not end")


async def test_every_table_is_of_an_environment_or_of_a_parent_that_is(columns: Columns):
    """A new table without the column `environment` is the child of one that has it, or listed here."""
    children = {child.table for _, child in CHILDREN}
    without = {table for table, kinds in columns.items() if "environment" not in kinds}
    assert without - children - OF_THE_SERVER == set()
    assert all("environment" in columns[parent] for parent, _ in CHILDREN)
    assert columns.keys() - without == {*rules.TABLES, *rules.KEPT}


async def test_a_table_of_others_is_not_touched(guarded: Guarded):
    """A schema of PostgreSQL may have tables of an application, or copies that an operator made."""

    def add(tx: Tx) -> None:
        tx.run("CREATE TABLE deployments (environment TEXT)")
        tx.run("INSERT INTO deployments (environment) VALUES ('a')")

    await guarded.db.write(add)
    made = await guarded.an_environment("a")
    await guarded.request("DELETE", "/api/v1/environments/a?with_data=true")
    guarded.move(rules.SETTLED_MS)
    await finish(guarded)

    shown = await guarded.request("GET", f"/api/v1/environment-deletions/{made['id']}")
    assert (shown["status"], shown["rows_removed"]) == ("deleted", 0)
    assert await guarded.db.read(lambda tx: tx.rows("SELECT environment FROM deployments")) == [("a",)]


async def test_no_row_of_a_deleted_environment_stays_and_no_other_is_touched(
    guarded: Guarded, columns: Columns, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loops, "BATCH", 3)
    monkeypatch.setattr(loops, "PARENTS", 2)
    for name in ("a", "b"):
        await guarded.an_environment(name)
        await guarded.db.write(lambda tx, name=name: fill(tx, columns, name, 7))
    before = await guarded.db.read(lambda tx: counts(tx, columns, "b"))
    assert min(before.values()) >= 1
    # The keys are deleted in the first transaction.
    kept = (*rules.KEPT, "api_keys")
    expected = await guarded.db.read(
        lambda tx: sum(count for table, count in counts(tx, columns, "a").items() if table not in kept)
    )

    async with guarded.client() as client:
        answer = (await client.delete("/api/v1/environments/a?with_data=true")).json()
    assert answer["status"] == "deleting"
    guarded.move(rules.SETTLED_MS)
    await finish(guarded)

    left = await guarded.db.read(lambda tx: counts(tx, columns, "a"))
    assert {table for table, count in left.items() if count} == set(rules.KEPT)
    assert await guarded.db.read(lambda tx: counts(tx, columns, "b")) == before
    shown = await guarded.request("GET", f"/api/v1/environment-deletions/{answer['id']}")
    assert (shown["status"], shown["name"]) == ("deleted", "a")
    assert shown["rows_removed"] == expected
    assert (await guarded.request("GET", "/api/v1/environment-deletions"))["deletions"] == [shown]


async def test_its_keys_are_refused_at_once_and_its_name_is_free_and_empty(guarded: Guarded):
    await guarded.an_environment("staging")
    key = (await guarded.a_key("role_admin", env="staging"))["key"]
    await guarded.request("POST", "/api/v1/events", EMIT, key=key)
    assert await guarded.status("DELETE", "/api/v1/environments/staging") == 400

    await guarded.request("DELETE", "/api/v1/environments/staging?with_data=true")
    assert await guarded.status("GET", "/api/v1/events", key=key) == 401
    assert await guarded.status("GET", "/api/v1/events", env="staging") == 404
    await guarded.an_environment("staging")
    # Before a row was removed.
    assert (await guarded.request("GET", "/api/v1/events", env="staging"))["count"] == 0
    await guarded.request("POST", "/api/v1/events", EMIT, env="staging")
    guarded.move(rules.SETTLED_MS)
    await guarded.loop("environment-deletions")
    assert (await guarded.request("GET", "/api/v1/events", env="staging"))["count"] == 1


@pytest.mark.parametrize("table", ["event_schemas", "sql_projections"])
async def test_what_users_defined_is_not_deleted_without_with_data(guarded: Guarded, columns: Columns, table: str):
    await guarded.an_environment("a")
    await guarded.db.write(lambda tx: fill(tx, {table: columns[table]}, "a", 1))
    assert await guarded.status("DELETE", "/api/v1/environments/a") == 400


async def test_what_is_written_meanwhile_is_removed_by_another_pass(guarded: Guarded, columns: Columns):
    made = await guarded.an_environment("a")
    await guarded.request("DELETE", "/api/v1/environments/a?with_data=true")
    await guarded.loop("environment-deletions")
    late = await guarded.request("GET", f"/api/v1/environment-deletions/{made['id']}")
    assert late["status"] == "deleting"

    await guarded.db.write(lambda tx: fill(tx, columns, "a", 2))
    guarded.move(rules.SETTLED_MS)
    await guarded.loop("environment-deletions")
    left = await guarded.db.read(lambda tx: counts(tx, columns, "a"))
    assert {table for table, count in left.items() if count} == set(rules.KEPT)


async def test_a_deletion_goes_on_after_a_restart(
    database_url: str, columns: Columns, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loops, "BATCH", 2)
    await guarded.an_environment("a")
    await guarded.db.write(lambda tx: fill(tx, columns, "a", 5))
    await guarded.request("DELETE", "/api/v1/environments/a?with_data=true")
    (loop,) = [each for each in guarded.inside.all_loops if each.name == "environment-deletions"]
    for _ in range(10):
        await loop.run_once(guarded.now)
    before = await guarded.db.read(lambda tx: store.deletions_after(tx, "", 10))
    assert 0 < before[0].rows_removed <= 20
    if database_url.startswith("postgres"):
        async with open_guarded(database_url) as other:
            other.move(rules.SETTLED_MS)
            await finish(other)
            (after,) = (await other.request("GET", "/api/v1/environment-deletions", key=SEED))["deletions"]
            assert after["status"] == "deleted"


async def test_a_key_of_one_environment_deletes_none_and_sees_no_deletion(guarded: Guarded):
    made = await guarded.an_environment("a")
    key = (await guarded.a_key("role_admin", env="a"))["key"]
    assert await guarded.status("DELETE", "/api/v1/environments/a?with_data=true", key=key) == 403
    assert await guarded.status("GET", "/api/v1/environment-deletions", key=key) == 403
    assert await guarded.status("GET", f"/api/v1/environment-deletions/{made['id']}", key=key) == 403
    assert await guarded.status("GET", f"/api/v1/environment-deletions/{made['id']}") == 404


async def test_the_secrets_of_webhook_sources_are_deleted_with_their_environment(database_url: str):
    async with open_guarded(database_url, master_key="ab" * 32) as guarded:
        made = {}
        for name in ("a", "b"):
            await guarded.an_environment(name)
            source = {"name": "shop", "preset": "github", "verify_secret": "s3cret"}
            made[name] = await guarded.request("POST", "/api/v1/webhook-sources", source, env=name)
            rotated = f"/api/v1/webhook-sources/{made[name]['id']}/rotate-secret"
            await guarded.request("POST", rotated, {"verify_secret": "n3w", "grace_seconds": 3600}, env=name)

        await guarded.request("DELETE", "/api/v1/environments/a?with_data=true")
        guarded.move(rules.SETTLED_MS)
        await finish(guarded)

        names = await guarded.db.read(lambda tx: tx.rows("SELECT name FROM secrets ORDER BY name"))
        assert [name for (name,) in names] == [f"{made['b']['id']}/1", f"{made['b']['id']}/2"]


def test_no_other_feature_keeps_rows_under_a_mark_in_place_of_an_environment():
    """What is added here needs its own way to be deleted, as the composition gives it to the loop."""
    features = Path(loops.__file__).parents[1]
    keeping = {
        file.parent.name
        for file in features.rglob("*.py")
        if re.search(r"secrets\.in_tx import [^\n]*\bkeep\b", file.read_text())
    }
    assert keeping == {"webhooks"}

"""SQL from Python and from the command line, against a real server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.scene import Scene
from tests.crash.until import until

pytestmark = pytest.mark.processes

PLACED = """INSERT INTO proj_orders VALUES (:data.customer, :data.amount)
ON CONFLICT (customer) DO UPDATE SET total = proj_orders.total + excluded.total"""


def ironflow(scene: Scene, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ironflow", "--url", scene.url, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


async def test_a_projection_is_made_asked_and_deleted_from_python_and_from_the_command_line(tmp_path: Path):
    placed = tmp_path / "placed.sql"
    placed.write_text(PLACED)
    with Scene(tmp_path, str(tmp_path / "ironflow.db")) as scene:
        await scene.start_server()
        table = "CREATE TABLE proj_orders (customer TEXT PRIMARY KEY, total BIGINT)"
        made = ironflow(
            scene, "sql-projection", "create", "orders", "--table", table, "--on", f"order.placed=@{placed}"
        )
        assert (made.returncode, made.stdout) == (0, "created orders\n")
        async with scene.client() as client:
            assert (
                await client.sql_projections.create("orders", table=table, on={"order.placed": PLACED}) == "unchanged"
            )
            for customer, amount in [("ann", 1), ("bob", 2), ("ann", 3)]:
                await client.emit("order.placed", {"customer": customer, "amount": amount})

            async def applied() -> bool:
                return (await client.sql_projections.get("orders")).last_event_seq == 3

            await until(applied, "the events are applied")
            found = await client.sql_projections.query("orders", where="total > 1", order_by="customer", limit=1)
            assert (list(found.dicts()), found.total_count) == ([{"customer": "ann", "total": 4}], 2)
            joined = await client.sql("SELECT o.total, count(*) AS n FROM proj_orders o, events GROUP BY 1 ORDER BY 1")
            assert (joined.columns, joined.rows) == (["total", "n"], [[2, 3], [4, 3]])
            assert [each.name async for each in client.sql_projections.list()] == ["orders"]

        asked = ironflow(scene, "sql", "SELECT customer, total FROM proj_orders ORDER BY customer")
        assert asked.stdout.split() == ["customer", "total", "ann", "4", "bob", "2"]
        asked = ironflow(scene, "--json", "sql", "SELECT total FROM proj_orders", "--max-rows", "1")
        assert (json.loads(asked.stdout)["rows"], json.loads(asked.stdout)["truncated"]) == ([[4]], True)
        asked = ironflow(scene, "sql", "--csv", "SELECT 'a,b' AS x, NULL AS y")
        assert asked.stdout == 'x,y\n"a,b",\n'
        assert "proj_orders" in ironflow(scene, "sql").stdout
        refused = ironflow(scene, "sql", "DELETE FROM events")
        assert (refused.returncode, "not a SELECT" in refused.stderr) == (2, True)
        shown = ironflow(scene, "sql-projection", "query", "orders", "--order-by", "total")
        assert shown.stdout.split() == ["customer", "total", "bob", "2", "ann", "4"]
        assert "active" in ironflow(scene, "sql-projection", "list").stdout
        assert ironflow(scene, "sql-projection", "delete", "orders", "--yes").stdout == "deleted orders\n"
        assert ironflow(scene, "sql-projection", "get", "orders").returncode == 4

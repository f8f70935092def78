"""Secrets: what each operation answers, what functions are given, and what is recorded."""

import logging
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ironflow.base.errors import IronflowError
from ironflow.engine.errors import StaleExecution
from ironflow.features.secrets import contract, store
from ironflow.features.secrets.service import Secrets
from ironflow.storage.port import Tx
from tests.secrets.conftest import MASTER
from tests.support.server import open_server
from tests.support.work import Work, step

NEXT_MASTER = "22" * 32
PATH = "/api/v1/secrets"


async def rows(server: Work, *tables: str) -> str:
    """Everything that these tables hold, as text."""

    def look(tx: Tx) -> str:
        return repr([tx.rows(f"SELECT * FROM {table}") for table in tables])

    return await server.db.read(look)


async def given(server: Work, env: str = "default") -> dict[str, str] | None:
    """The secrets of the job that is ready for the worker."""
    (job,) = await server.poll(env=env)
    return job.context.secrets if job.context is not None else None


async def test_a_secret_is_created_set_described_and_deleted_without_showing_its_value(server: Work):
    async with server.http() as client:
        body = {"name": "STRIPE_KEY", "value": "sk_live_1234", "description": "cards"}
        made = await client.post(PATH, json=body)
        again = await client.post(PATH, json=body)
        server.move(1000)
        replaced = await client.put(f"{PATH}/STRIPE_KEY", json={"value": "sk_live_5678"})
        renamed = await client.patch(f"{PATH}/STRIPE_KEY", json={"name": "CARD_KEY", "description": "payments"})
        listed = await client.get(PATH)
        shown = await client.get(f"{PATH}/CARD_KEY")
        deleted = await client.delete(f"{PATH}/CARD_KEY")
        missing = await client.get(f"{PATH}/CARD_KEY")

    assert [each.status_code for each in (made, again, replaced, renamed, listed, shown, deleted, missing)] == [
        201, 409, 200, 200, 200, 200, 204, 404,
    ]  # fmt: skip
    first, second = made.json(), replaced.json()
    assert (first["name"], first["revision"], first["description"]) == ("STRIPE_KEY", 1, "cards")
    assert first["createdAt"] == first["created_at"] == second["created_at"]
    assert (second["revision"], second["description"]) == (2, "cards")
    assert second["updated_at"] > second["created_at"]
    assert (renamed.json()["name"], renamed.json()["description"]) == ("CARD_KEY", "payments")
    assert listed.json() == [shown.json()]
    for answer in (made, again, replaced, renamed, listed, shown):
        assert "sk_live" not in answer.text


async def test_setting_creates_what_is_not_there(server: Work):
    made = await server.call(contract.set_, name="K", value="v1")
    assert (made.revision, (await server.call(contract.set_, name="K", value="v2")).revision) == (1, 2)


async def test_a_list_has_pages(server: Work):
    for name in "abc":
        await server.call(contract.set_, name=name, value="v")
    first = await server.call(contract.list_, limit=2)
    rest = await server.call(contract.list_, limit=2, cursor=first.next_cursor)
    assert [[each.name for each in page.secrets] for page in (first, rest)] == [["a", "b"], ["c"]]
    assert rest.next_cursor is None


async def test_a_function_is_given_the_secrets_that_it_declares_and_that_there_are(server: Work):
    await server.call(contract.set_, name="K", value="value-of-k")
    await server.call(contract.set_, name="OTHER", value="value-of-other")
    await server.call(contract.set_, name="K", value="elsewhere", env="staging")
    await server.a_run(secrets=["K", "NOT_THERE"])

    assert await given(server) == {"K": "value-of-k"}


async def test_a_function_without_secrets_has_no_context(server: Work):
    await server.call(contract.set_, name="K", value="value-of-k")
    await server.a_run()
    assert await given(server) is None


async def test_a_polling_worker_gets_them_in_the_context_of_its_job(server: Work):
    await server.call(contract.set_, name="STRIPE_KEY", value="value-of-k")
    await server.a_run(secrets=["STRIPE_KEY"])
    async with server.http() as client:
        polled = (await client.get("/api/v1/workers/w1/jobs?available=1&wait=0")).json()
    assert polled["jobs"][0]["context"] == {"secrets": {"STRIPE_KEY": "value-of-k"}}


async def test_the_next_execution_gets_the_new_value(server: Work):
    await server.call(contract.set_, name="K", value="first-value")
    await server.a_run(secrets=["K"])
    job = await server.claim()
    await server.call(contract.set_, name="K", value="second-value")
    await server.report(job, "failed")
    server.move(10_000)
    await server.loops()
    assert await given(server) == {"K": "second-value"}


async def test_an_output_with_a_secret_fails_the_run_and_is_not_recorded(server: Work):
    await server.call(contract.set_, name="K", value="value-of-k")
    run = await server.a_run(secrets=["K"])
    job = await server.claim()
    # What was delivered is recognized, also when it has changed since.
    await server.call(contract.set_, name="K", value="another-value")
    await server.report(job, "progress", step(job, "look", "fine"), step(job, "charge", {"a": ["value-of-k"]}))

    ended = await server.run(run.id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert "SECRET_IN_OUTPUT" in msgspec.json.encode(ended.error).decode()
    assert [each.status for each in await server.steps(run.id)] == ["completed", "failed"]
    with suppress(StaleExecution):
        await server.report(job, "completed", output="value-of-k")
    assert await server.run(run.id) == ended
    everything = await rows(server, "runs", "steps", "facts", "events")
    assert "value-of-k" not in everything


async def test_an_error_with_a_secret_is_recorded_without_it(server: Work):
    await server.call(contract.set_, name="K", value="value-of-k")
    run = await server.a_run(secrets=["K"])
    job = await server.claim()
    error = {"message": "401 for value-of-k", "retryable": False, "stack": "line 1\nvalue-of-k"}
    await server.report(job, "failed", step(job, "charge", error=error), error={**error, "code": "DENIED"})

    (failed,) = await server.steps(run.id)
    shown = msgspec.json.encode([await server.run(run.id), failed]).decode()
    assert "401 for [secret]" in shown
    assert "value-of-k" not in shown


async def test_each_change_is_a_system_event_and_a_note_of_the_audit_trail(server: Work):
    seen: list[Any] = []
    server.db.on_published(lambda notices: seen.extend(notices.notices()))
    await server.call(contract.set_, name="K", value="value-of-k")
    await server.call(contract.set_, name="K", value="value-of-k2")
    await server.call(contract.delete, name="K")

    published = [(each.parts, msgspec.json.decode(each.data)) for each in seen]
    assert published == [
        (("secret", "K", action), {"name": "K", "action": action, "revision": revision})
        for action, revision in (("created", 1), ("updated", 2), ("deleted", 2))
    ]
    async with server.http() as client:
        trail = await client.get("/api/v1/audit")
    assert [each["event_type"] for each in trail.json()["events"]] == [
        "secret.deleted", "secret.updated", "secret.created",
    ]  # fmt: skip
    assert "value-of-k" not in trail.text


async def test_without_a_master_key_nothing_is_stored_and_the_answer_has_the_line_to_run(database_url: str):
    async with open_server(Work, database_url, dev=False, auth=False) as server:
        with pytest.raises(IronflowError, match=r"IRONFLOW_MASTER_KEY=\$\(openssl rand -hex 32\)") as refused:
            await server.call(contract.set_, name="K", value="value-of-k")
        assert refused.value.code == "MASTER_KEY_MISSING"
        assert await rows(server, "secrets", "secret_data_keys") == "[[], []]"


async def test_with_dev_a_key_is_made_beside_the_database_for_its_owner_only(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    async with open_server(Work, database_url) as server:
        file = server.inside.settings.dev_master_key_file
        assert not file.exists()
        await server.call(contract.set_, name="K", value="value-of-k")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    async with open_server(Work, database_url) as server:
        await server.a_run(secrets=["K"])
        assert await given(server) == {"K": "value-of-k"}


async def test_jobs_wait_for_the_master_key_and_nothing_is_lost_without_it(database_url: str, tmp_path: Path):
    keys = tmp_path / "master.key"
    keys.write_text(MASTER)
    async with open_server(Work, database_url, master_key_file=str(keys)) as server:
        await server.call(contract.set_, name="K", value="value-of-k")
        run = await server.a_run(secrets=["K"])

    keys.write_text(NEXT_MASTER)
    async with open_server(Work, database_url, master_key_file=str(keys)) as server:
        await server.loop("secrets")
        assert await server.poll() == []
        assert (await server.run(run.id)).status == "pending"
        async with server.http() as client:
            health = (await client.get("/health")).json()
        assert "encrypted with master key" in str(health["warnings"])
        with pytest.raises(IronflowError, match="encrypted with master key"):
            await server.call(contract.set_, name="NEW", value="value-of-new")

        # The key is there again; the server is not restarted.
        keys.write_text(MASTER)
        server.move(5_000)
        await server.loop("secrets")
        assert await given(server) == {"K": "value-of-k"}


async def test_a_lost_master_key_is_replaced_when_its_secrets_are_deleted(database_url: str):
    async with open_server(Work, database_url, master_key=MASTER) as server:
        await server.call(contract.set_, name="K", value="value-of-k")
    async with open_server(Work, database_url, master_key=NEXT_MASTER) as server:
        await server.call(contract.delete, name="K")
        await server.call(contract.set_, name="K", value="value-of-k2")
        await server.call(contract.rekey)
        await server.a_run(secrets=["K"])
        assert await given(server) == {"K": "value-of-k2"}


async def test_rekey_encrypts_everything_anew_and_the_old_key_is_not_needed(database_url: str, tmp_path: Path):
    keys = tmp_path / "master.key"
    keys.write_text(MASTER)
    async with open_server(Work, database_url, master_key_file=str(keys)) as server:
        for env in ("default", "staging"):
            for number in range(3):
                await server.call(contract.set_, name=f"K{number}", value=f"value-{env}-{number}", env=env)
        before = await sealed(server)

        keys.write_text(f"{NEXT_MASTER}\n{MASTER}\n")
        done = await server.call(contract.rekey)
        assert (done.environments, done.secrets, done.data_keys_dropped) == (2, 6, 2)
        after = await sealed(server)
        assert not before & after

    async with open_server(Work, database_url, master_key=NEXT_MASTER) as server:
        await server.a_run(secrets=["K0", "K1", "K2"])
        assert await given(server) == {f"K{number}": f"value-default-{number}" for number in range(3)}


async def test_a_rekey_that_was_killed_half_way_is_finished_by_the_loop(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    keys = tmp_path / "master.key"
    keys.write_text(MASTER)
    monkeypatch.setattr("ironflow.features.secrets.service.AT_ONCE", 2)
    async with open_server(Work, database_url, master_key_file=str(keys)) as server:
        for number in range(5):
            await server.call(contract.set_, name=f"K{number}", value=f"value-{number}")
        keys.write_text(f"{NEXT_MASTER}\n{MASTER}")
        encrypt_anew = Secrets.encrypt_anew
        batches = 0

        async def dying(self: Secrets, now: int) -> tuple[int, int]:
            nonlocal batches
            batches += 1
            return await (killed() if batches == 2 else encrypt_anew(self, now))

        with monkeypatch.context() as patched:
            patched.setattr(Secrets, "encrypt_anew", dying)
            with pytest.raises(IronflowError):
                await server.call(contract.rekey)
        assert len(await server.db.read(lambda tx: store.old_secrets(tx, 10))) == 3

    # Already without the old key: its data keys are under the new one.
    async with open_server(Work, database_url, master_key=NEXT_MASTER) as server:
        await server.a_run(secrets=[f"K{number}" for number in range(5)])
        assert await given(server) == {f"K{number}": f"value-{number}" for number in range(5)}
        await server.loop("secrets")
        assert await server.db.read(lambda tx: store.old_secrets(tx, 10)) == []
        assert await server.db.read(store.with_old_data_keys) == []

    # Nothing that is stored now can be read with the old key.
    async with open_server(Work, database_url, master_key=MASTER) as server:
        await server.emit()
        assert await server.poll() == []


async def killed(*_: object) -> tuple[int, int]:
    raise IronflowError("the process dies here")


async def sealed(server: Work) -> set[bytes]:
    """Every sealed value and wrapped key that is stored."""

    def look(tx: Tx) -> set[bytes]:
        found = tx.rows("SELECT sealed FROM secrets") + tx.rows("SELECT wrapped FROM secret_data_keys")
        return {bytes(row[0]) for row in found}

    return await server.db.read(look)


async def test_a_row_that_was_copied_to_another_name_is_not_accepted(server: Work):
    await server.call(contract.set_, name="A", value="value-of-a")
    await server.call(contract.set_, name="B", value="value-of-b")
    await server.db.write(
        lambda tx: tx.run("UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'A') WHERE name = 'B'")
    )
    await server.a_run(secrets=["B"])
    assert await server.poll() == []


@pytest.mark.parametrize("key", ["", "zz" * 32, "11" * 31, "11" * 32 + " 22"])
async def test_a_key_that_is_none_ends_the_start_without_being_shown(tmp_path: Path, key: str):
    file = tmp_path / "master.key"
    file.write_text(key)
    with pytest.raises(IronflowError, match="no master key") as refused:
        async with open_server(Work, str(tmp_path / "x.db"), master_key_file=str(file)):
            pass
    assert not key or key not in refused.value.message


async def test_a_command_gives_the_key(tmp_path: Path):
    async with open_server(Work, str(tmp_path / "x.db"), master_key_command=f"echo {MASTER}") as server:
        await server.call(contract.set_, name="K", value="value-of-k")
    with pytest.raises(IronflowError, match="ended with status 3"):
        async with open_server(Work, str(tmp_path / "x.db"), master_key_command="exit 3"):
            pass


async def test_a_command_that_hangs_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ironflow.features.secrets.master_keys.COMMAND_S", 0.1)
    with pytest.raises(IronflowError, match="took longer"):
        async with open_server(Work, str(tmp_path / "x.db"), master_key_command="exec sleep 60"):
            pass


async def test_no_plaintext_is_found_in_files_rows_logs_metrics_and_answers(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """After a mixed load: the database file with its WAL, a dump of all tables, the log, /metrics, every list."""
    caplog.set_level(logging.DEBUG)
    values = {f"K{number}": f"plaintext-{number}-öäü" for number in range(4)}
    async with open_server(Work, database_url, master_key=MASTER) as server:
        for name, value in values.items():
            await server.call(contract.set_, name=name, value=value)
        await server.a_function(secrets=list(values), recording=True)
        await server.a_worker()
        for number in range(12):
            await server.emit(data={"n": number})
            job = await server.claim()
            assert job.context is not None
            (value, *_) = (job.context.secrets or {}).values()
            error = {"message": f"denied {value}", "retryable": number % 2 == 0, "code": "X", "stack": value}
            match number % 4:
                case 0:
                    await server.report(job, "completed", step(job, "a", "fine"), output={"ok": True})
                case 1:
                    await server.report(job, "failed", step(job, "a", error=error), error=error)
                case 2:
                    await server.report(job, "progress", step(job, "a", {"leaks": value}))
                case _:
                    await server.report(job, "completed", output=[value])
            await server.loops()
        await server.call(contract.rekey)
        postgres = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        names = postgres if server.db.name == "postgres" else "SELECT name FROM sqlite_master WHERE type = 'table'"
        dump = await server.db.read(lambda tx: _dump(tx, names))
        async with server.http() as client:
            paths = ("/metrics", "/api/v1/runs", "/api/v1/events", "/api/v1/audit", PATH, "/api/v1/workers", "/health")
            shown = "".join([(await client.get(path)).text for path in paths])
        files = b"".join(
            file.read_bytes() for file in Path(database_url).parent.glob("*") if not database_url.startswith("postgres")
        )

    assert "[secret]" in dump
    for text in ("plaintext-", "plaintext"):
        assert text not in dump
        assert text not in shown
        assert text not in caplog.text
        assert text.encode() not in files
        assert MASTER not in caplog.text + dump


def _dump(tx: Tx, names: str) -> str:
    """Every row of every table. names: the query for the tables' names."""
    return "\n".join(repr(tx.rows(f"SELECT * FROM {row[0]}")) for row in tx.rows(names))

"""API keys: what each answers, and what becomes of one that expires, is rotated or revoked."""

import asyncio
import stat
from pathlib import Path

import msgspec
import pytest

from ironflow.base.call import Principal
from ironflow.base.errors import IronflowError
from ironflow.features.api_keys.service import Authenticator
from ironflow.features.roles import in_tx as roles
from ironflow.storage.port import Tx
from tests.support.keys import SEED, Guarded, key_file_of, open_guarded

DAY_MS = 86_400_000
NOT_THE_KEY = [
    {"authorization": "Bearer ifkey_wrong"},
    {"authorization": SEED},
    {"authorization": f"Basic {SEED}"},
    {"authorization": "Bearer"},
    {"authorization": f"Bearer {SEED} "[:-2]},
    {"authorization": f"Bearer {SEED}", "x-ironflow-api-key": "ifkey_other"},
    {"authorization": f"Bearer {SEED}, Bearer {SEED}"},
    {"x-ironflow-api-key": "ifkey_" + "x" * 5000},
    {"authorization": "Bearer ifk\xeby_" + SEED[6:]},
]


async def test_without_a_key_nothing_but_the_public_routes_is_served(guarded: Guarded):
    assert await guarded.status("GET", "/api/v1/runs", key="") == 401
    for path in ("/health", "/ready", "/metrics", "/api/v1/capabilities"):
        assert await guarded.status("GET", path, key="") == 200
    assert (await guarded.request("GET", "/api/v1/capabilities", key=""))["auth_required"] is True


@pytest.mark.parametrize("headers", NOT_THE_KEY)
async def test_anything_but_the_key_is_refused(guarded: Guarded, headers: dict[str, str]):
    async with guarded.http() as client:
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = await client.get("/api/v1/runs", headers=pairs)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("headers", [*NOT_THE_KEY, {"authorization": f"Bearer {SEED[:-1]}_"}])
async def test_anything_but_the_key_is_refused_after_the_key_was_accepted(guarded: Guarded, headers: dict[str, str]):
    async with guarded.http() as client:
        key = {"authorization": f"Bearer {SEED}"}
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answers = [await client.get("/api/v1/runs", headers=each) for each in (key, pairs, key)]

    assert [answer.status_code for answer in answers] == [200, 401, 200]


async def test_a_header_that_was_accepted_is_compared_and_not_hashed_again(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
):
    assert await guarded.status("GET", "/api/v1/runs", key=SEED) == 200
    hashed: list[str] = []
    monkeypatch.setattr("ironflow.features.api_keys.rules.hash_of", lambda secret: hashed.append(secret) or "")

    assert await guarded.status("GET", "/api/v1/runs", key=SEED) == 200
    assert await guarded.status("GET", "/api/v1/runs", key=SEED[:-1] + "_") == 401
    assert hashed == [SEED[:-1] + "_"]


async def test_a_header_that_comes_twice_is_refused(guarded: Guarded):
    async with guarded.http() as client:
        twice = [("authorization", f"Bearer {SEED}"), ("authorization", "Bearer ifkey_other")]
        assert (await client.get("/api/v1/runs", headers=twice)).status_code == 401


@pytest.mark.parametrize("header", [f"Bearer {SEED}", f"bearer {SEED}", f"BEARER   {SEED}"])
async def test_the_scheme_is_read_in_any_case(guarded: Guarded, header: str):
    async with guarded.http() as client:
        assert (await client.get("/api/v1/runs", headers={"authorization": header})).status_code == 200


async def test_the_other_header_of_the_key_is_accepted_and_both_when_they_agree(guarded: Guarded):
    async with guarded.http() as client:
        alone = await client.get("/api/v1/runs", headers={"X-Ironflow-Api-Key": SEED})
        both = {"X-Ironflow-Api-Key": SEED, "authorization": f"Bearer {SEED}"}
        assert (alone.status_code, (await client.get("/api/v1/runs", headers=both)).status_code) == (200, 200)


async def test_a_key_is_shown_once_and_stored_as_a_hash(guarded: Guarded):
    made = await guarded.a_key("role_viewer")

    assert made["key"] == made["secret"]
    assert made["key"].startswith("ifkey_")
    assert made["key"].startswith(made["key_prefix"])
    assert made["keyPrefix"] == made["key_prefix"]
    shown = await guarded.request("GET", f"/api/v1/apikeys/{made['id']}")
    assert "key" not in shown
    assert await guarded.request("GET", "/api/v1/apikeys") == [
        await guarded.request("GET", f"/api/v1/apikeys/{each['id']}")
        for each in await guarded.request("GET", "/api/v1/apikeys")
    ]

    def rows(tx: Tx) -> list[object]:
        return [value for row in tx.rows("SELECT * FROM api_keys") for value in row]

    assert made["key"] not in await guarded.db.read(rows)


async def test_a_key_expires(guarded: Guarded):
    made = await guarded.a_key("role_viewer", expires_in="1d")
    assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 200

    guarded.move(DAY_MS - 1)
    assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 200
    guarded.move(1)
    assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 401


async def test_the_roles_of_an_expired_key_are_not_read(guarded: Guarded, monkeypatch: pytest.MonkeyPatch):
    """It takes as long as an unknown one: the time does not show which keys there were."""
    body = {"name": "k", "expires_in": "1d", "role_ids": ["role_viewer"]}
    made = await guarded.request("POST", "/api/v1/apikeys", body)
    guarded.move(DAY_MS)
    read: list[object] = []
    policies_of = roles.policies_of
    monkeypatch.setattr(roles, "policies_of", lambda tx, ids: (read.append(ids), policies_of(tx, ids))[1])
    assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 401
    assert read == []


async def test_a_deleted_key_is_refused_at_once(guarded: Guarded):
    made = await guarded.a_key("role_viewer")
    assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 200

    assert await guarded.request("DELETE", f"/api/v1/apikeys/{made['id']}") is None

    assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 401
    assert await guarded.status("GET", f"/api/v1/apikeys/{made['id']}") == 404


async def test_a_rotated_key_is_replaced_at_once_or_after_its_grace(guarded: Guarded):
    made = await guarded.a_key("role_viewer")
    second = await guarded.request("POST", f"/api/v1/apikeys/{made['id']}/rotate")
    assert second["id"] == made["id"]
    assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 401
    assert await guarded.status("GET", "/api/v1/runs", key=second["key"]) == 200

    third = await guarded.request("POST", f"/api/v1/apikeys/{made['id']}/rotate", {"grace": "1h"})
    assert [await guarded.status("GET", "/api/v1/runs", key=each["key"]) for each in (second, third)] == [200, 200]
    guarded.move(3_600_000)
    assert [await guarded.status("GET", "/api/v1/runs", key=each["key"]) for each in (second, third)] == [401, 200]


async def test_the_last_use_is_written_by_the_loop(guarded: Guarded):
    made = await guarded.a_key("role_viewer")
    await guarded.status("GET", "/api/v1/runs", key=made["key"])
    assert "last_used_at" not in await guarded.request("GET", f"/api/v1/apikeys/{made['id']}")

    await guarded.loop("api-keys")

    assert "last_used_at" in await guarded.request("GET", f"/api/v1/apikeys/{made['id']}")


async def test_what_is_open_with_a_revoked_or_expired_key_is_closed(guarded: Guarded):
    revoked, expiring = await guarded.a_key("role_viewer"), await guarded.a_key("role_viewer", expires_in="1h")
    connections = guarded.dispatch.connections
    closed: list[tuple[str, IronflowError]] = []
    for made in (revoked, expiring):
        assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 200
        name = f"key:{made['id']}"
        connections.opened("stream", Principal(name), lambda error, name=name: closed.append((name, error))).__enter__()

    await guarded.request("DELETE", f"/api/v1/apikeys/{revoked['id']}")
    await guarded.db.write(lambda tx: None)
    assert [(name, error.code) for name, error in closed] == [(f"key:{revoked['id']}", "UNAUTHENTICATED")]

    closed.clear()
    connections.of(f"key:{revoked['id']}").__next__().__exit__()
    guarded.move(3_600_000)
    await guarded.loop("api-keys")
    assert [name for name, _ in closed] == [f"key:{expiring['id']}"]


@pytest.mark.parametrize("unknown", ["no", "after missed notifications"])
async def test_what_is_open_with_an_expired_key_is_closed_after_a_request_with_it_was_refused(
    guarded: Guarded, unknown: str
):
    made = await guarded.a_key("role_viewer", expires_in="1h")
    assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 200
    closed: list[str] = []
    principal = Principal(f"key:{made['id']}")
    guarded.dispatch.connections.opened("stream", principal, lambda error: closed.append(error.message)).__enter__()
    if unknown != "no":
        guarded.part(Authenticator)._keys_changed({""})  # pyright: ignore[reportPrivateUsage]

    guarded.move(3_600_000)
    assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 401
    await guarded.loop("api-keys")

    assert closed == ["The key has expired."]


async def test_a_revocation_that_was_not_notified_is_found_by_the_loop(guarded: Guarded):
    made = await guarded.a_key("role_viewer")
    assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 200
    await guarded.db.write(lambda tx: tx.run("DELETE FROM api_keys WHERE id = :id", {"id": made["id"]}))

    await guarded.loop("api-keys")

    assert await guarded.status("GET", "/api/v1/runs", key=made["key"]) == 401


async def test_a_key_without_roles_of_its_own_gets_developer_from_an_administrator(guarded: Guarded):
    made = await guarded.request("POST", "/api/v1/apikeys", {"name": "x"})
    assert made["role_ids"] == ["role_developer"]


async def test_roles_under_their_short_name_are_not_passed_over(guarded: Guarded):
    made = await guarded.request("POST", "/api/v1/apikeys", {"name": "x", "roles": ["role_viewer"]})
    assert made["role_ids"] == ["role_viewer"]


async def test_a_key_gives_no_more_than_it_has(guarded: Guarded):
    role = await guarded.request("POST", "/api/v1/roles", {"name": "key maker"})
    policy = await guarded.request(
        "POST", "/api/v1/policies", {"name": "keys", "effect": "allow", "actions": "apikeys:*", "resources": "*"}
    )
    await guarded.request("POST", f"/api/v1/roles/{role['id']}/policies", {"policy_id": policy["id"]})
    maker = (await guarded.a_key(role["id"]))["key"]

    body = {"name": "more", "role_ids": ["role_viewer"]}
    assert await guarded.status("POST", "/api/v1/apikeys", body, key=maker) == 403
    own = await guarded.request("POST", "/api/v1/apikeys", {"name": "same"}, key=maker)
    assert own["role_ids"] == [role["id"]]
    admin = next(each for each in await guarded.request("GET", "/api/v1/apikeys") if each["name"] == "bootstrap")
    assert await guarded.status("POST", f"/api/v1/apikeys/{admin['id']}/rotate", key=maker) == 403
    roles = {"role_ids": [role["id"]]}
    assert await guarded.status("PUT", f"/api/v1/apikeys/{admin['id']}/roles", roles, key=maker) == 403
    assert await guarded.status("DELETE", f"/api/v1/apikeys/{admin['id']}", key=maker) == 403
    assert await guarded.status("DELETE", f"/api/v1/apikeys/{own['id']}", key=maker) == 204
    assert await guarded.status("GET", "/api/v1/apikeys") == 200


async def test_a_change_of_roles_holds_for_the_next_request(guarded: Guarded):
    made = await guarded.a_key("role_viewer")
    emit = {"name": "order.placed", "data": {}}
    assert await guarded.status("POST", "/api/v1/events", emit, key=made["key"]) == 403

    await guarded.request("PUT", f"/api/v1/apikeys/{made['id']}/roles", {"role_ids": ["role_developer"]})

    assert await guarded.status("POST", "/api/v1/events", emit, key=made["key"]) == 200


async def test_the_trail_of_audit_names_the_key(guarded: Guarded):
    made = await guarded.a_key("role_viewer")
    found = await guarded.request("GET", "/api/v1/audit?event_type=api_key.created")
    assert [each["payload"]["api_key_id"] for each in found["events"]] == [made["id"]]
    assert found["events"][0]["metadata"]["actor"].startswith("key:apikey_")
    assert made["key"] not in msgspec.json.encode(found).decode()


async def test_the_first_start_writes_an_administrators_key_for_the_operator_only(
    empty_database_url: str, tmp_path: Path
):
    file = key_file_of(tmp_path)
    async with open_guarded(empty_database_url, bootstrap_admin_key="", bootstrap_key_file=str(file)) as opened:
        key = msgspec.json.decode(file.read_bytes())["key"]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert await opened.status("GET", "/api/v1/apikeys", key=key) == 200
        (made,) = await opened.request("GET", "/api/v1/apikeys", key=key)
        await opened.a_key("role_viewer", by=key)
        await opened.request("DELETE", f"/api/v1/apikeys/{made['id']}", key=key)
        file.unlink()

    async with open_guarded(empty_database_url, bootstrap_admin_key="", bootstrap_key_file=str(file)) as opened:
        assert not file.exists()
        assert await opened.status("GET", "/api/v1/apikeys", key=key) == 401


async def test_of_several_nodes_one_writes_the_first_key(empty_postgres_url: str, tmp_path: Path):
    files = [tmp_path / f"key{number}.json" for number in range(2)]
    async with (
        open_guarded(empty_postgres_url, bootstrap_admin_key="", bootstrap_key_file=str(files[0])),
        open_guarded(empty_postgres_url, bootstrap_admin_key="", bootstrap_key_file=str(files[1])),
    ):
        assert [file.exists() for file in files] == [True, False]


async def test_of_nodes_that_start_at_once_one_writes_the_first_key(empty_postgres_url: str, tmp_path: Path):
    files = [tmp_path / f"key{number}.json" for number in range(4)]
    all_started = asyncio.Barrier(len(files))

    async def start(file: Path) -> None:
        async with open_guarded(empty_postgres_url, bootstrap_admin_key="", bootstrap_key_file=str(file)) as opened:
            await all_started.wait()
            (written,) = [each for each in files if each.exists()]
            key = msgspec.json.decode(written.read_bytes())["key"]
            assert len(await opened.request("GET", "/api/v1/apikeys", key=key)) == 1
            await all_started.wait()

    await asyncio.gather(*map(start, files))


async def test_a_key_is_looked_up_once(guarded: Guarded):
    made = await guarded.a_key("role_viewer")
    authenticator = guarded.part(Authenticator)
    await guarded.status("GET", "/api/v1/runs", key=made["key"])
    known = len(authenticator._known)  # pyright: ignore[reportPrivateUsage]
    await guarded.status("GET", "/api/v1/runs", key=made["key"])
    await guarded.status("GET", "/api/v1/runs", key="ifkey_wrong")
    assert len(authenticator._known) == known  # pyright: ignore[reportPrivateUsage]


async def test_a_revoked_key_is_refused_and_closed_on_every_node(postgres_url: str):
    async with open_guarded(postgres_url) as here, open_guarded(postgres_url) as there:
        made = await here.a_key("role_viewer")
        assert await there.status("GET", "/api/v1/runs", key=made["key"]) == 200
        closed = asyncio.Event()
        there.dispatch.connections.opened("stream", Principal(f"key:{made['id']}"), lambda _: closed.set()).__enter__()

        await here.request("DELETE", f"/api/v1/apikeys/{made['id']}")

        await asyncio.wait_for(closed.wait(), 30)
        assert await there.status("GET", "/api/v1/runs", key=made["key"]) == 401

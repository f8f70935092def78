"""Ten thousand keys and a thousand policies; a key that many connections hold when it is revoked."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from ironflow import Client
from ironflow.base.call import Call
from ironflow.base.errors import PermissionDenied
from ironflow.base.socket import REFUSED
from ironflow.base.time import FixedClock
from ironflow.cli.process import start_server
from ironflow.features.api_keys import in_tx as api_keys
from ironflow.features.api_keys.rules import ApiKeyRow, hash_of
from ironflow.features.api_keys.service import Authenticator
from ironflow.features.policies import rules
from ironflow.features.policies.in_tx import PolicyRow
from ironflow.features.policies.rules import Grant
from ironflow.features.roles import in_tx as roles
from ironflow.storage.port import Tx
from tests.crash.until import until
from tests.support.keys import Guarded, open_guarded

KEYS = 10_000
POLICIES = 1_000
SOCKETS = 100
WORKERS = 20


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with open_guarded(str(tmp_path / "ironflow.db")) as opened:
        yield opened


def secret_of(number: int) -> str:
    return f"ifkey_{number:064d}"


async def test_ten_thousand_keys_are_each_recognized_and_listed_in_pages(guarded: Guarded):
    columns = ", ".join(ApiKeyRow._fields)
    values = ", ".join(f":{name}" for name in ApiKeyRow._fields)

    def fill(tx: Tx) -> None:
        rows = [
            ApiKeyRow(
                id=f"apikey_{number:06d}", org_id="org_default", environment="", name=f"key {number}",
                key_hash=hash_of(secret_of(number)), key_prefix="ifkey_", role_ids=roles.VIEWER, created_at=0,
                created_by="", expires_at=0, last_used_at=0, old_hash="", old_until=0,
            )._asdict()
            for number in range(KEYS)
        ]  # fmt: skip
        tx.many(f"INSERT INTO api_keys ({columns}) VALUES ({values})", rows)

    await guarded.db.write(fill)
    for number in range(0, KEYS, 1_000):
        assert await guarded.status("GET", "/api/v1/runs", key=secret_of(number)) == 200
    assert await guarded.status("GET", "/api/v1/runs", key=secret_of(KEYS)) == 401

    found: list[str] = []
    cursor = ""
    while True:
        page = await guarded.request("GET", f"/api/v1/apikeys?paged=true&limit=1000&cursor={cursor}")
        found += [each["id"] for each in page["api_keys"]]
        cursor = page.get("next_cursor")
        if not cursor:
            break
    assert len(found) == len({*found}) == KEYS + 1


async def test_a_key_with_a_thousand_policies_may_do_what_they_allow_and_nothing_else(guarded: Guarded):
    role = await guarded.request("POST", "/api/v1/roles", {"name": "large"})

    def fill(tx: Tx) -> None:
        policies = [
            PolicyRow(
                f"policy_{number:05d}", "org_default", f"p{number}", "allow", "events:emit",
                f"events/order.{number}", "", 0, 0,
            )
            for number in range(POLICIES)
        ]  # fmt: skip
        given = [each._asdict() for each in policies]
        names = PolicyRow._fields
        columns, values = ", ".join(names), ", ".join(f":{name}" for name in names)
        tx.many(f"INSERT INTO policies ({columns}) VALUES ({values})", [{n: each[n] for n in names} for each in given])
        tx.many(
            "INSERT INTO role_policies (role_id, policy_id) VALUES (:role, :policy)",
            [{"role": role["id"], "policy": each.id} for each in policies],
        )

    await guarded.db.write(fill)
    key = (await guarded.a_key(role["id"]))["key"]
    for number, status in ((0, 200), (POLICIES - 1, 200), (POLICIES, 403)):
        body = {"name": f"order.{number}", "data": {}}
        assert await guarded.status("POST", "/api/v1/events", body, key=key) == status
    assert await guarded.status("GET", "/api/v1/runs", key=key) == 403


class Counted(dict[str, Any]):
    """Counts how often all of it is looked through."""

    passes = 0

    def items(self) -> Any:
        Counted.passes += 1
        return super().items()


@pytest.mark.parametrize("change", ["role", "revoked"])
async def test_a_change_for_ten_thousand_keys_looks_through_them_once(guarded: Guarded, change: str):
    """It is made on the event loop: with a pass for each key, everything else waited for seconds."""
    authenticator = guarded.part(Authenticator)
    role = await guarded.request("POST", "/api/v1/roles", {"name": "own"})
    keys = [await guarded.a_key(role["id"]) for _ in range(5)]
    for key in keys:
        assert await guarded.status("GET", "/api/v1/runs", key=key["key"]) == 403
    known = Counted(authenticator._known)  # pyright: ignore[reportPrivateUsage]
    assert len(known) >= len(keys)
    authenticator._known = known  # pyright: ignore[reportPrivateUsage]
    Counted.passes = 0
    if change == "role":
        await guarded.request("PATCH", f"/api/v1/roles/{role['id']}", {"name": "other"})
        policy = await guarded.request("POST", "/api/v1/policies", {"name": "p", "effect": "allow", "actions": "*"})
        await guarded.request("POST", f"/api/v1/roles/{role['id']}/policies", {"policy_id": policy["id"]})
    else:

        def revoke(tx: Tx) -> None:
            tx.run("DELETE FROM api_keys WHERE role_ids = :role", {"role": role["id"]})
            for key in keys:
                tx.notify(api_keys.KEYS, f"revoked:{key['id']}")

        await guarded.db.write(revoke)
    assert Counted.passes <= 1
    for key in keys:
        assert await guarded.status("GET", "/api/v1/runs", key=key["key"]) == (200 if change == "role" else 401)


def test_policies_of_other_actions_are_not_looked_at(monkeypatch: pytest.MonkeyPatch):
    """A decision looks at the policies of its action alone, however many a role has."""
    policies = [
        PolicyRow(f"p{number}", "", f"p{number}", "allow", f"noun{number}:verb", "*", "", 0, 0)
        for number in range(POLICIES)
    ]
    call = Call("default", FixedClock().now())
    seen: list[int] = []
    decide = rules.decide_access
    monkeypatch.setattr(rules, "decide_access", lambda found, asked: (seen.append(len(found)), decide(found, asked))[1])
    grant = Grant("key", ("role",), policies)
    grant.check(call, "noun7:verb", None)
    with pytest.raises(PermissionDenied):
        grant.check(call, "other:verb", None)
    assert seen == [1, 0]


async def poll(client: httpx.AsyncClient, worker: str) -> int:
    """The status that ends the polls of a worker."""
    while True:
        answer = await client.get(f"/api/v1/workers/{worker}/jobs", params={"available": 1, "wait": 25})
        if answer.status_code not in (200, 204):
            return answer.status_code


async def closing(socket: ClientConnection) -> int:
    """The code that a socket is closed with."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


@pytest.mark.processes
async def test_a_revoked_key_closes_a_hundred_sockets_and_twenty_workers_within_a_second(tmp_path: Path):
    """The quickest of three: a loaded machine may stop the clients for longer."""
    with (tmp_path / "log").open("wb") as log:
        process, url = start_server(["--port", "0", "--db", str(tmp_path / "test.db")], output=log)
        admin = (tmp_path / ".ironflow_bootstrap_key.json").read_text().split('"')[3]
        try:
            async with Client(url, api_key=admin) as client:
                took_s = [await closing_all(client, url)]
                while min(took_s) >= 1 and len(took_s) < 3:
                    took_s.append(await closing_all(client, url))
        finally:
            process.stop()
    assert min(took_s) < 1


async def closing_all(client: Client, url: str) -> float:
    """The seconds from the revocation of a key until everything that it holds is closed."""
    async with AsyncExitStack() as stack:
        made = await client.api_keys.create("shared")
        address = f"{url.replace('http', 'ws')}/ws?token={made.key}"
        sockets = [await stack.enter_async_context(connect(address)) for _ in range(SOCKETS)]
        headers = {"authorization": f"Bearer {made.key}"}
        limits = httpx.Limits(max_connections=WORKERS)
        workers = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=60)
        )
        names = [f"worker-{number}" for number in range(WORKERS)]
        for name in names:
            body = {"function_ids": ["charge"], "max_concurrent_jobs": 1}
            assert (await workers.post(f"/api/v1/workers/{name}/register", json=body)).is_success
        polling = [asyncio.create_task(poll(workers, name)) for name in names]
        await until(lambda: held(url, WORKERS), "the workers poll")

        begun = time.perf_counter()
        await client.api_keys.delete(made.id)

        async with asyncio.timeout(20):
            codes = await asyncio.gather(*(closing(socket) for socket in sockets))
            statuses = await asyncio.gather(*polling)
        took_s = time.perf_counter() - begun
    assert set(codes) == {REFUSED}
    assert statuses == [401] * WORKERS
    return took_s


async def held(url: str, count: int) -> bool:
    """Whether so many requests are held back."""
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(f"{url}/metrics")).text
    return f'ironflow_connections{{kind="held_request"}} {count:.1f}' in metrics

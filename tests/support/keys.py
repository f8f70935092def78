"""A server that demands API keys, and clients with keys of each kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from tests.support.server import open_server
from tests.support.work import Work

SEED = "ifkey_0123456789abcdefghijklmnopqrstuv"


class Guarded(Work):
    """A server with authentication. Its first key is SEED, an administrator's."""

    def client(self, key: str = SEED, env: str = "", **headers: str) -> httpx.AsyncClient:
        """An HTTP client with this key; without one when it is empty."""
        client = self.http()
        if key:
            client.headers["authorization"] = f"Bearer {key}"
        if env:
            client.headers["x-ironflow-environment"] = env
        client.headers.update(headers)
        return client

    async def request(self, method: str, path: str, body: Any = None, *, key: str = SEED, env: str = "") -> Any:
        """The JSON of a request that succeeds; None for an empty answer."""
        async with self.client(key, env) as client:
            answer = await client.request(method, path, json=body)
        assert answer.is_success, answer.text
        return msgspec.json.decode(answer.content) if answer.content else None

    async def status(self, method: str, path: str, body: Any = None, *, key: str = SEED, env: str = "") -> int:
        async with self.client(key, env) as client:
            return (await client.request(method, path, json=body)).status_code

    async def a_key(self, *roles: str, env: str = "", by: str = SEED, **fields: Any) -> dict[str, Any]:
        """A new key with its plain text in `key`."""
        body = {"name": "a key", "role_ids": list(roles), **fields}
        if env:
            body["env_id"] = env
        return await self.request("POST", "/api/v1/apikeys", body, key=by)

    async def an_environment(self, name: str) -> dict[str, Any]:
        return await self.request("POST", "/api/v1/environments", {"name": name})


@asynccontextmanager
async def open_guarded(database_url: str, **settings: Any) -> AsyncIterator[Guarded]:
    given = {"bootstrap_admin_key": SEED, **settings}
    async with open_server(Guarded, database_url, dev=False, auth=True, **given) as opened:
        yield opened


def key_file_of(folder: Path) -> Path:
    return folder / ".ironflow_bootstrap_key.json"

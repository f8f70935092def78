"""Buckets over REST, to the field as protocol/rest.md section 7 says."""

from base64 import b64encode
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest

from tests.support.server import Server

AT = "2026-01-01T00:00:00Z"
BUCKETS = "/api/v1/kv/buckets"
KEYS = f"{BUCKETS}/b/keys"


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with server.http() as client:
        yield client


@pytest.fixture
async def bucket(http: httpx.AsyncClient) -> str:
    assert (await http.post(BUCKETS, json={"name": "b"})).status_code == 201
    return "b"


def entry(key: str, value: bytes, revision: int) -> dict[str, object]:
    return {
        "key": key,
        "value": b64encode(value).decode(),
        "revision": revision,
        "created_at": AT,
        "operation": "put",
    }


async def test_a_bucket_from_creation_to_deletion(http: httpx.AsyncClient) -> None:
    plain = {"name": "b", "values": 0, "bytes": 0, "history": 1, "created_at": AT}
    full = {
        "name": "full", "description": "d", "ttl_seconds": 60, "max_value_size": 5, "max_bytes": 50,
        "values": 0, "bytes": 0, "history": 3, "created_at": AT,
    }  # fmt: skip

    created = await http.post(BUCKETS, json={"name": "b"})
    assert (created.status_code, created.json()) == (201, plain)
    asked = {"name": "full", "description": "d", "ttlSeconds": 60, "max_value_size": 5, "maxBytes": 50, "history": 3}
    assert (await http.post(BUCKETS, json=asked)).json() == full

    again = await http.post(BUCKETS, json={"name": "b"})
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")

    listed = await http.get(BUCKETS)
    assert (listed.status_code, listed.json()) == (200, {"buckets": [plain, full], "count": 2})
    one = await http.get(f"{BUCKETS}/b")
    assert (one.status_code, one.json()) == (200, plain)

    deleted = await http.delete(f"{BUCKETS}/b")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for missing in (await http.get(f"{BUCKETS}/b"), await http.delete(f"{BUCKETS}/b")):
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_no_buckets_and_no_keys_are_empty_lists(http: httpx.AsyncClient) -> None:
    assert (await http.get(BUCKETS)).json() == {"buckets": [], "count": 0}
    await http.post(BUCKETS, json={"name": "b"})
    assert (await http.get(KEYS)).json() == {"keys": [], "count": 0}


async def test_a_key_from_creation_to_deletion(http: httpx.AsyncClient, bucket: str) -> None:
    missing = await http.get(f"{KEYS}/k")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")

    stored = await http.put(f"{KEYS}/k", content=b'{"a": 1}')
    assert (stored.status_code, stored.json()) == (200, {"revision": 1})
    got = await http.get(f"{KEYS}/k")
    assert (got.status_code, got.json()) == (200, entry("k", b'{"a": 1}', 1))
    assert (await http.get(KEYS)).json() == {"keys": ["k"], "count": 1}

    for query in ("", "", "?purge=true", "?purge=true"):
        deleted = await http.delete(f"{KEYS}/k{query}")
        assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await http.get(f"{KEYS}/k")).status_code == 404


async def test_the_body_is_stored_verbatim_whatever_its_type(http: httpx.AsyncClient, bucket: str) -> None:
    for content_type in (None, "application/json", "application/octet-stream", "rubbish"):
        headers = {"content-type": content_type} if content_type else {}
        for body in (b"", b"{", b"null", bytes(range(256)), b'"text"'):
            assert (await http.put(f"{KEYS}/k", content=body, headers=headers)).status_code == 200

            assert (await http.get(f"{KEYS}/k")).json()["value"] == b64encode(body).decode()


async def test_a_query_cannot_put_another_value_or_another_key(http: httpx.AsyncClient, bucket: str) -> None:
    await http.put(f"{KEYS}/k?value=eA==&key=other&bucket=other", content=b"body")

    assert (await http.get(f"{KEYS}/k")).json() == entry("k", b"body", 1)


STRANGE = [
    "user:123",
    "a/b/c",
    "a//b",
    "a/",
    "/a",
    "100%",
    "%2F",
    "%252F",
    "a b",
    "a+b",
    "é/日本",
    "a?b#c",
    "a&b=c;d",
    "~a'(b)!",
]


async def test_a_key_is_the_rest_of_the_path_decoded_once(http: httpx.AsyncClient, bucket: str) -> None:
    """Python encodes everything, the browser leaves slashes and more as they are."""
    for key in STRANGE:
        everything, little = quote(key, safe=""), quote(key, safe="/:@!$&'()*+,;=~")

        one = (await http.put(f"{KEYS}/{everything}", content=b"1")).json()["revision"]
        two = (await http.put(f"{KEYS}/{little}", content=b"2")).json()["revision"]

        assert two == one + 1
        for spelled in (everything, little):
            assert (await http.get(f"{KEYS}/{spelled}")).json() == entry(key, b"2", two)
        assert (await http.get(KEYS)).json()["keys"] == [key]
        assert (await http.delete(f"{KEYS}/{everything}")).status_code == 204
        assert (await http.get(KEYS)).json()["count"] == 0


async def test_keys_named_like_routes_are_keys(http: httpx.AsyncClient, bucket: str) -> None:
    for key in ("keys", "history/x", "watch"):
        await http.put(f"{KEYS}/{key}", content=b"1")

    assert (await http.get(KEYS)).json()["keys"] == ["history/x", "keys", "watch"]


async def test_the_condition_in_the_headers_of_a_put(http: httpx.AsyncClient, bucket: str) -> None:
    asked = [
        ({"If-Match": "REVISION"}, 200),
        ({"If-Match": '"REVISION"'}, 200),
        ({"if-match": 'W/"REVISION"'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": "REVISION0"}, 412),
        ({"If-Match": "0"}, 412),
        ({"If-None-Match": "*"}, 412),
        ({"If-Match": "abc"}, 400),
        ({"If-None-Match": "1"}, 400),
    ]
    for number, (headers, status) in enumerate(asked):
        before = entry("k", b"%d" % number, (await http.put(f"{KEYS}/k", content=b"%d" % number)).json()["revision"])
        filled = {name: text.replace("REVISION", str(before["revision"])) for name, text in headers.items()}

        answer = await http.put(f"{KEYS}/k", content=b"new", headers=filled)

        assert (headers, answer.status_code) == (headers, status)
        after = entry("k", b"new", answer.json()["revision"]) if status == 200 else before
        assert (await http.get(f"{KEYS}/k")).json() == after


async def test_if_none_match_creates(http: httpx.AsyncClient, bucket: str) -> None:
    assert (await http.put(f"{KEYS}/k", content=b"1", headers={"If-None-Match": "*"})).json() == {"revision": 1}


async def test_a_conflict_is_a_412_with_every_field_that_clients_read(http: httpx.AsyncClient, bucket: str) -> None:
    await http.put(f"{KEYS}/k", content=b"1")

    refused = await http.put(f"{KEYS}/k", content=b"2", headers={"If-Match": "7"})

    text = "The key is at revision 1, the request expects 7. Read it again and retry."
    assert refused.status_code == 412
    assert refused.json() == {
        "error": text, "message": text, "code": "failed_precondition", "reason": "KV_REVISION_CONFLICT"
    }  # fmt: skip


async def test_keys_are_filtered(http: httpx.AsyncClient, bucket: str) -> None:
    stored = ["a.b", "a.b.c", "ax", "z"]
    for key in stored:
        await http.put(f"{KEYS}/{key}", content=b"1")

    for filter, expected in {"a.*": ["a.b"], "a.>": ["a.b", "a.b.c"], "a*": ["a.b", "a.b.c", "ax"], "": stored}.items():
        found = (await http.get(KEYS, params={"filter": filter})).json()
        assert found == {"keys": expected, "count": len(expected)}


async def test_keys_come_in_pages(http: httpx.AsyncClient, bucket: str) -> None:
    for key in "abc":
        await http.put(f"{KEYS}/{key}", content=b"1")

    first = (await http.get(KEYS, params={"limit": 2})).json()
    assert first == {"keys": ["a", "b"], "count": 2, "next_cursor": "b"}
    assert (await http.get(KEYS, params={"limit": 2, "cursor": "b"})).json() == {"keys": ["c"], "count": 1}


async def test_history_is_newest_first_with_tombstones(http: httpx.AsyncClient) -> None:
    await http.post(BUCKETS, json={"name": "b", "history": 5})
    await http.put(f"{KEYS}/a/b", content=b"1")
    await http.delete(f"{KEYS}/a/b")

    found = await http.get(f"{BUCKETS}/b/history/a/b")

    tombstone = {**entry("a/b", b"", 2), "operation": "delete"}
    assert found.json() == {"entries": [tombstone, entry("a/b", b"1", 1)], "count": 2}
    assert (await http.get(f"{KEYS}/a/b", params={"revision": 1})).json() == entry("a/b", b"1", 1)


async def test_a_rubbish_question_is_a_clear_4xx(http: httpx.AsyncClient, bucket: str) -> None:
    asked = {
        f"{KEYS}?limit=0": 400,
        f"{KEYS}?limit=x": 400,
        f"{KEYS}?limit=99999999999999999999": 400,
        f"{KEYS}?filter=a.%3E.b": 400,
        f"{KEYS}?cursor=%00": 400,
        f"{KEYS}/k?revision=0": 400,
        f"{KEYS}/k?revision=99999999999999999999": 400,
        f"{KEYS}/k?revision=1": 404,
        f"{KEYS}/%00": 400,
        f"{KEYS}/%FF": 404,
        f"{BUCKETS}/%00": 400,
        f"{BUCKETS}/no%20such": 404,
        f"{BUCKETS}?limit=-1": 400,
    }
    for path, status in asked.items():
        answer = await http.get(path)
        assert (path, answer.status_code) == (path, status)
        assert {"error", "message", "code"} <= answer.json().keys()


async def test_a_rubbish_bucket_is_a_400(http: httpx.AsyncClient) -> None:
    for body in (
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b'{"name": 5}',
        b'{"name": "a b"}',
        b'{"name": "b\\u0000"}',
        b'{"name": "\xff"}',
        b'{"name": "c", "history": 65}',
        b'{"name": "c", "history": NaN}',
        b'{"name": "c", "ttl_seconds": 1e30}',
        b'{"name": "c", "ttl_seconds": -1}',
        b'{"name": "c", "ttl_seconds": 9223372036854775807}',
        b'{"name": "c", "max_bytes": 99999999999999999999}',
        b'{"name": "c", "description": "\\u0000"}',
    ):
        answer = await http.post(BUCKETS, content=body)
        assert (body, answer.status_code, answer.json()["code"]) == (body, 400, "invalid_argument")

    assert (await http.get(BUCKETS)).json()["count"] == 0


async def test_what_is_too_much_is_refused_for_good(http: httpx.AsyncClient) -> None:
    await http.post(BUCKETS, json={"name": "b", "max_value_size": 3, "max_bytes": 5})
    await http.put(f"{KEYS}/k", content=b"123")

    too_large, too_full = await http.put(f"{KEYS}/l", content=b"1234"), await http.put(f"{KEYS}/l", content=b"123")

    assert (too_large.status_code, too_large.json()["code"]) == (413, "invalid_argument")
    assert (too_full.status_code, too_full.json()["code"]) == (429, "resource_exhausted")
    assert "retryable" not in {**too_large.json(), **too_full.json()}


async def test_the_environment_is_chosen_by_header(http: httpx.AsyncClient, bucket: str) -> None:
    staging = {"X-Ironflow-Environment": "staging"}
    assert (await http.get(f"{BUCKETS}/b", headers=staging)).status_code == 404
    await http.post(BUCKETS, json={"name": "b"}, headers=staging)
    await http.put(f"{KEYS}/k", content=b"1", headers={"X-Ironflow-Environment-ID": "staging"})

    assert (await http.get(KEYS)).json()["keys"] == []
    assert (await http.get(KEYS, headers=staging)).json()["keys"] == ["k"]

"""The parameters of a query: without anything to decode they are split, else parsed; both give the same."""

from urllib.parse import parse_qsl

import pytest

from ironflow.transports.http import Request

QUERIES = [
    "",
    "a",
    "a=",
    "=a",
    "a=1",
    "a=1&b=2",
    "&a=1&&b=2&",
    "a=1=2",
    "a=é",
    "a;b=1",
    "a=1&a=2",
    "a=%31",
    "a+b=c",
    "%",
]


async def nothing() -> dict[str, object]:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_read_as_the_standard_library_does(query: str):
    assert Request("GET", "/", query, {}, b"", nothing).query_pairs() == parse_qsl(query, keep_blank_values=True)

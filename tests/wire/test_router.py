"""A path is served by the best of all shapes that it has, as if they were tried one by one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironflow.transports.router import Router

SEGMENTS = st.sampled_from(["api", "v1", "kv", "keys", "{name}", "{rest...}"])
SHAPES = st.lists(st.lists(SEGMENTS, min_size=1, max_size=6).map(lambda parts: "/" + "/".join(parts)), max_size=8)
PATHS = st.lists(st.sampled_from(["api", "v1", "kv", "keys", "a b", "é", ""]), min_size=1, max_size=7).map("/".join)


def numbered(shape: str) -> str:
    """With names that differ, for a path names each once."""
    counts = iter(range(10))
    return re.sub(r"\{(\w+)", lambda match: f"{{{match[1]}{next(counts)}", shape)


def matches(shape: str, path: str) -> bool:
    parts = ["(.+)" if part.endswith("...}") else "([^/]+)" if "{" in part else part for part in shape.split("/")]
    return re.fullmatch("/".join(parts), path, re.DOTALL) is not None


def rank(shape: str) -> tuple[int, ...]:
    kinds = [2 if part.endswith("...}") else 1 if "{" in part else 0 for part in shape.split("/")[1:]]
    return (sum(kind == 2 for kind in kinds), -len(kinds), *kinds)


@given(shapes=SHAPES, path=PATHS)
def test_the_best_shape_is_found(shapes: list[str], path: str):
    router: Router[str] = Router()
    for shape in shapes:
        router.add("GET", numbered(shape), shape)

    fitting = [shape for shape in shapes if shape == path or matches(shape, path)]
    found = router.find("GET", path)

    assert (found is not None) == bool(fitting) == router.has(path) == (router.methods_of(path) == ["GET"])
    if found is not None:
        assert found[0] in fitting
        assert found[0] == path or rank(found[0]) == min(map(rank, fitting))
    assert router.find("PUT", path) is None


@pytest.mark.parametrize(
    ("path", "target", "values"),
    [
        ("/api/v1/kv/buckets", "list", {}),
        ("/api/v1/kv/buckets/b", "get", {"bucket": "b"}),
        ("/api/v1/kv/buckets/b/keys/a/b", "key", {"bucket": "b", "key": "a/b"}),
        ("/api/v2", "version", {"version": "v2"}),
    ],
)
def test_names_take_their_values_from_the_path(path: str, target: str, values: dict[str, str]):
    router: Router[str] = Router()
    router.add("GET", "/api/v1/kv/buckets", "list")
    router.add("GET", "/api/v1/kv/buckets/{bucket}", "get")
    router.add("GET", "/api/v1/kv/buckets/{bucket}/keys/{key...}", "key")
    router.add("GET", "/api/{version}", "version")

    assert router.find("GET", path) == (target, values)

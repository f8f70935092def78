"""What is decided about config documents."""

import msgspec
import pytest

from ironflow.base.errors import InvalidArgument, PayloadTooLarge
from ironflow.features.config.contract import InvalidConfig
from ironflow.features.config.rules import DOCUMENT_BYTES_MAX, check_name, document, merged


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        (None, b'{"a":1}', b'{"a":1}'),
        (b"{}", b'{"a":1}', b'{"a":1}'),
        (b'{"a":1,"b":2}', b'{"b":3}', b'{"a":1,"b":3}'),
        # Whole members, not what is inside them; null is a value as others.
        (b'{"a":{"x":1,"y":2}}', b'{"a":{"x":3}}', b'{"a":{"x":3}}'),
        (b'{"a":1}', b'{"a":null}', b'{"a":null}'),
        (b'{"a":1}', b"{}", b'{"a":1}'),
        # Numbers no float can hold stay as they were sent.
        (b'{"a":12345678901234567890123}', b'{"b":1.10}', b'{"a":12345678901234567890123,"b":1.10}'),
    ],
)
def test_a_patch_replaces_whole_members_and_leaves_the_others(before: bytes | None, patch: bytes, after: bytes) -> None:
    assert merged(before, patch) == after


def test_patches_cannot_make_a_document_larger_than_one_that_is_set() -> None:
    half = b"x" * (DOCUMENT_BYTES_MAX * 2 // 3)
    with pytest.raises(PayloadTooLarge, match="merged"):
        merged(b'{"a":"' + half + b'"}', b'{"b":"' + half + b'"}')


@pytest.mark.parametrize("text", [b"[]", b"1", b'"{}"', b"null", b"", b"{", b'{"a":}', b"\xff"])
def test_what_is_no_json_object_is_no_document(text: bytes) -> None:
    with pytest.raises(InvalidArgument):
        document(msgspec.Raw(text))


def test_a_document_is_kept_as_it_was_sent() -> None:
    assert document(msgspec.Raw(b'{ "a" : 1.0 }')) == b'{ "a" : 1.0 }'


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "a" * 129, "a\n", "*"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(InvalidConfig):
        check_name(name)


@pytest.mark.parametrize("name", ["app", "app.limits-2:eu_west", "a" * 128])
def test_a_name_that_can_be_is_taken(name: str) -> None:
    check_name(name)

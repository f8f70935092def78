"""`ironflow kv` against a real server."""

import io
import sys
import uuid

import pytest


@pytest.fixture
def bucket(ironflow):
    """A new bucket with a history of three."""
    name = f"b-{uuid.uuid4().hex[:8]}"
    assert ironflow("kv", "create-bucket", name, "--history", "3").code == 0
    return name


def test_a_value_comes_back_byte_for_byte(ironflow, bucket):
    assert ironflow("kv", "put", bucket, "user:1", '{"cart": [1]}').out == "stored user:1, revision 1\n"

    assert ironflow("kv", "get", bucket, "user:1").out == '{"cart": [1]}'
    entry = ironflow("kv", "get", bucket, "user:1", "--json").json
    assert (entry["key"], entry["value"], entry["text"]) == ("user:1", "eyJjYXJ0IjogWzFdfQ==", '{"cart": [1]}')


def test_values_come_from_files_and_standard_input(ironflow, bucket, tmp_path, monkeypatch):
    (tmp_path / "photo").write_bytes(b"\x00\xff\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))

    ironflow("kv", "put", bucket, "a", f"@{tmp_path / 'photo'}")
    ironflow("kv", "put", bucket, "b", "-")

    assert ironflow("kv", "get", bucket, "a", "--json").json["value"] == "AP8K"
    assert ironflow("kv", "get", bucket, "b").out == "piped"


def test_compare_and_set_refuses_with_exit_code_5(ironflow, bucket):
    ironflow("kv", "put", bucket, "n", "1", "--create")

    refused = ironflow("kv", "put", bucket, "n", "2", "--create")
    assert (refused.code, refused.out) == (5, "")
    assert "exists already, at revision 1" in refused.err
    assert ironflow("kv", "put", bucket, "n", "2", "--if-revision", "7").code == 5
    assert ironflow("kv", "put", bucket, "n", "2", "--if-revision", "1").code == 0


def test_the_history_shows_puts_and_deletes(ironflow, bucket):
    ironflow("kv", "put", bucket, "k", "one")
    ironflow("kv", "put", bucket, "k", "two")
    ironflow("kv", "delete", bucket, "k")

    lines = ironflow("kv", "history", bucket, "k").out.splitlines()
    assert lines[0].split() == ["REVISION", "OPERATION", "WHEN", "SIZE", "VALUE"]
    assert [line.split()[:2] for line in lines[1:]] == [["3", "delete"], ["2", "put"], ["1", "put"]]
    assert ironflow("kv", "get", bucket, "k", "--revision", "1").out == "one"
    assert ironflow("kv", "get", bucket, "k").code == 4


def test_purging_deletes_the_history(ironflow, bucket):
    ironflow("kv", "put", bucket, "k", "one")

    assert ironflow("kv", "delete", bucket, "k", "--purge").out == "purged k\n"

    assert ironflow("kv", "history", bucket, "k").code == 4


def test_keys_are_listed_by_pattern_and_in_pages(ironflow, bucket):
    for key in ("user.1", "user.2", "user.2.cart", "visit"):
        ironflow("kv", "put", bucket, key, "x")

    assert ironflow("kv", "keys", bucket).out.split() == ["user.1", "user.2", "user.2.cart", "visit"]
    assert ironflow("kv", "keys", bucket, "user.*").out.split() == ["user.1", "user.2"]
    page = ironflow("kv", "keys", bucket, "--limit", "3")
    assert page.out.split() == ["user.1", "user.2", "user.2.cart"]
    assert page.err == "There is more: --cursor user.2.cart\n"
    assert ironflow("kv", "keys", bucket, "--cursor", "user.2.cart").out.split() == ["visit"]


def test_buckets_show_their_settings(ironflow):
    name = f"limits-{uuid.uuid4().hex[:8]}"
    ironflow("kv", "create-bucket", name, "--ttl", "7d", "--max-bytes", "1MiB", "--description", "for a test")

    row = next(line for line in ironflow("kv", "buckets").out.splitlines() if line.startswith(name))
    assert row.split() == [name, "0", "0", "B", "1", "7d", "1", "MiB", "for", "a", "test"]
    shown = ironflow("kv", "info", name).out
    assert "full at" in shown
    assert "1 MiB" in shown


def test_a_bucket_is_deleted_only_with_confirmation(ironflow, bucket):
    ironflow("kv", "put", bucket, "k", "x")

    hesitant = ironflow("kv", "delete-bucket", bucket)
    assert hesitant.code == 2
    assert "Add --yes to delete it with its 1 key." in hesitant.err
    assert ironflow("kv", "delete-bucket", bucket, "--yes").out == f"deleted bucket {bucket}\n"
    assert ironflow("kv", "keys", bucket).code == 4


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["kv", "get", "no-such-bucket", "k"], 4, "bucket not found"),
        (["kv", "create-bucket", "no spaces"], 2, "is no bucket name"),
        (["kv", "create-bucket", "b", "--history", "65"], 2, "history"),
        (["kv", "delete-bucket", "no-such-bucket", "--yes"], 4, "bucket not found"),
    ],
)
def test_an_error_is_one_line(ironflow, arguments, code, text):
    result = ironflow(*arguments)

    assert (result.code, result.out) == (code, "")
    assert text in result.err
    assert result.err.count("\n") == 1


def test_creating_a_bucket_twice_is_refused(ironflow, bucket):
    result = ironflow("kv", "create-bucket", bucket)

    assert result.code == 5
    assert "exists already" in result.err

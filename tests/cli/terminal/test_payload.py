import io

import pytest

from ironflow.cli.exits import UsageError
from ironflow.cli.terminal.payload import read_bytes, read_data


def test_data_is_json_kept_as_it_was_written():
    given = '{"big": 123456789012345678901234567890, "b":1, "a":[1.0]}'

    assert bytes(read_data(given, io.BytesIO())) == given.encode()


def test_a_dash_reads_standard_input():
    assert bytes(read_data("-", io.BytesIO(b'{"from": "stdin"}\n'))) == b'{"from": "stdin"}'


def test_an_at_reads_a_file(tmp_path):
    (tmp_path / "order.json").write_text('{"id": 7}')

    assert bytes(read_data(f"@{tmp_path / 'order.json'}", io.BytesIO())) == b'{"id": 7}'


def test_two_ats_are_a_text_that_begins_with_one():
    assert read_bytes("@@home", io.BytesIO()) == b"@home"


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("", "the data is empty"),
        ("hello", "needs its quotes"),
        ('{"id": 7', "single quotes"),
        ("{'id': 7}", "single quotes"),
        ("NaN", "needs its quotes"),
        ("@no/such/file", "no such file or directory"),
    ],
)
def test_unreadable_data_is_refused_with_reason_and_advice(given, advice):
    with pytest.raises(UsageError, match=advice):
        read_data(given, io.BytesIO())


def test_a_file_that_is_not_json_is_refused_as_such(tmp_path):
    (tmp_path / "order.json").write_text("id: 7")

    with pytest.raises(UsageError, match="must be one JSON value"):
        read_data(f"@{tmp_path / 'order.json'}", io.BytesIO())


def test_data_nested_too_deeply_is_refused():
    with pytest.raises(UsageError, match="nested deeper"):
        read_data("[" * 300 + "]" * 300, io.BytesIO())

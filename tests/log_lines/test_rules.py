"""Which lines of a run are kept, and how much of them."""

import msgspec
import pytest

from ironflow.features.log_lines import rules
from ironflow.features.log_lines.contract import ReportedLine
from ironflow.features.log_lines.rules import Keeping, Writer

WRITER = Writer("run_1", execution_seq=2, attempt=3)
NOW = 10_000


def kept(*lines: ReportedLine, **keeping: object) -> list[rules.LineRow]:
    return rules.rows(lines, WRITER, Keeping(**keeping), NOW)  # pyright: ignore[reportArgumentType]


def test_a_line_has_its_place_its_attempt_and_the_name_of_its_step():
    (row,) = kept(ReportedLine(number=7, message="paid", data=msgspec.Raw(b'{"a":1}'), step_id="run_1:both:1:pay:0"))

    assert row == rules.LineRow("run_1", 2, 7, NOW, 20, "paid", '{"a":1}', "run_1:both:1:pay:0", "pay", 3, 0)


@pytest.mark.parametrize(
    ("level", "found"),
    [("debug", "debug info other warn error"), ("info", "info other warn error"), ("error", "error"), ("off", "")],
)
def test_lines_below_the_level_are_not_kept(level: str, found: str):
    written = ("debug", "info", "other", "warn", "error")
    lines = [ReportedLine(number=each, message=name, level=name) for each, name in enumerate(written)]

    assert [row.message for row in kept(*lines, level=level)] == found.split()


def test_a_text_is_cut_between_characters_and_data_that_does_not_fit_is_left_out():
    long = ReportedLine(number=0, message="é" * 20)
    wide = ReportedLine(number=1, message="short", data=msgspec.Raw(b'{"text":"0123456789"}'))

    first, second = kept(long, wide, line_bytes_max=15)

    assert (first.message, first.truncated) == ("é" * 7, 1)
    assert (second.message, second.data, second.truncated) == ("short", None, 1)


def test_secrets_are_replaced_in_text_and_data():
    line = ReportedLine(number=0, message="key s3cr3t-value", data=msgspec.Raw(b'{"key":"s3cr3t-value"}'))
    (row,) = rules.rows([line], WRITER._replace(secret_texts=("s3cr3t-value",)), Keeping(), NOW)

    assert (row.message, row.data) == ("key [secret]", '{"key":"[secret]"}')


def test_in_place_of_the_last_line_that_fits_is_one_that_the_rest_is_lost():
    lines = kept(*[ReportedLine(number=each, message=str(each)) for each in range(4)])
    keeping = Keeping(lines_max=3)

    fitting = rules.decide_kept(lines, 1, keeping)

    assert [row.message for row in fitting] == ["0", rules.FULL.format(lines_max=3)]
    assert rules.decide_kept(lines, 3, keeping) == []
    assert rules.decide_kept(lines[:1], 1, keeping) == lines[:1]

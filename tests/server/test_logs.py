"""One log line for one thing that happened: as text for people, as JSON for programs."""

import logging
import sys

import msgspec

from ironflow.base.logs import JsonFormatter, OnePerCause, TextFormatter


def a_record(error: Exception | None = None, **fields: object) -> logging.LogRecord:
    record = logging.makeLogRecord(
        {"name": "ironflow.jobs", "levelno": 20, "levelname": "INFO", "msg": "job lost", "created": 1_767_225_600.5}
    )
    record.__dict__.update(fields)
    if error is not None:
        try:
            raise error
        except ValueError:
            record.exc_info = sys.exc_info()
    return record


def test_a_text_line_has_time_level_message_and_fields():
    line = TextFormatter().format(a_record(run_id="run_1", attempt=2))
    assert line == "00:00:00.500 info    job lost  run_id=run_1 attempt=2"


def test_a_json_line_has_the_same_as_values():
    line = JsonFormatter().format(a_record(run_id="run_1", attempt=2, seconds=0.5, held=True, holder=None))
    assert msgspec.json.decode(line) == {
        "at": "2026-01-01T00:00:00.500Z",
        "level": "info",
        "logger": "ironflow.jobs",
        "message": "job lost",
        "run_id": "run_1",
        "attempt": 2,
        "seconds": 0.5,
        "held": True,
        "holder": "None",
    }


def test_an_error_comes_with_its_traceback():
    text = TextFormatter().format(a_record(ValueError("no")))
    assert "Traceback" in text
    assert text.endswith("ValueError: no")
    line = msgspec.json.decode(JsonFormatter().format(a_record(ValueError("no"))))
    assert line["error"].endswith("ValueError: no")


def passed(rule: OnePerCause, name: str = "ironflow.storage.sqlite", level: int = 40, **fields: object) -> object:
    """Whether a line passes: False, or how many were left out before it."""
    record = logging.makeLogRecord({"name": name, "levelno": level, "msg": "commit failed", **fields})
    return rule.filter(record) and getattr(record, "repeated", 0)


def test_one_cause_is_one_line_a_minute_which_counts_those_left_out():
    now = 0.0
    rule = OnePerCause(lambda: now)
    lines: list[object] = []
    for at in (0, 1, 59, 60, 61, 130):
        now = at
        lines.append(passed(rule, error=f"disk full after {at} transactions"))
    assert lines == [0, False, False, 2, False, 1]


def test_another_cause_and_what_has_none_are_lines_of_their_own():
    rule = OnePerCause(lambda: 0.0)
    assert passed(rule, error="disk full") == 0
    assert passed(rule, error="I/O error") == 0
    assert [passed(rule), passed(rule)] == [0, 0]


def test_lines_about_one_run_and_lines_of_users_all_pass():
    rule = OnePerCause(lambda: 0.0)
    for fields in ({"run_id": "run_1"}, {"job_id": "job_1"}, {"name": "shop"}, {"level": 20}):
        assert [passed(rule, error="disk full", **fields) for _ in range(2)] == [0, 0]  # pyright: ignore[reportArgumentType]

"""One log line for one thing that happened: as text for people, as JSON for programs."""

import logging
import sys

import msgspec

from ironflow.server.logs import JsonFormatter, TextFormatter


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


def test_a_text_line_has_time_level_words_and_fields():
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
    told = msgspec.json.decode(JsonFormatter().format(a_record(ValueError("no"))))
    assert told["error"].endswith("ValueError: no")

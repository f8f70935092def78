"""Loggers for programs that come from other languages: `ironflow.core`."""

import logging
from typing import Any

import pytest
from pytest import raises

from ironflow.base.errors import InvalidArgument
from ironflow.core import create_logger, log_level, noop_logger


@pytest.mark.parametrize(
    ("name", "variable", "level"),
    [
        ("debug", "error", logging.DEBUG),
        ("WARN", None, logging.WARNING),
        (None, "error", logging.ERROR),
        (None, "", logging.INFO),
        (None, None, logging.INFO),
    ],
)
def test_a_level_is_named_or_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str | None, variable: str | None, level: int
):
    monkeypatch.delenv("IRONFLOW_LOG_LEVEL", raising=False)
    if variable is not None:
        monkeypatch.setenv("IRONFLOW_LOG_LEVEL", variable)
    assert log_level(name) == level


def test_a_level_that_there_is_not_is_refused():
    with raises(InvalidArgument, match="debug, info, warn, error or silent"):
        log_level("loud")


def test_a_logger_writes_from_its_level_on_with_its_prefix(capsys: pytest.CaptureFixture[str], caplog: Any):
    made = create_logger(prefix="[100% mine]", level="warn")
    made.info("not shown")
    made.warning("charged %d", 7)

    assert capsys.readouterr().err == "[100% mine] WARNING charged 7\n"
    assert caplog.records == []


@pytest.mark.parametrize("made", [noop_logger(), create_logger(level="silent")])
def test_a_silent_logger_writes_nothing(capsys: pytest.CaptureFixture[str], made: logging.Logger):
    made.error("not shown")
    made.critical("neither")

    assert capsys.readouterr() == ("", "")

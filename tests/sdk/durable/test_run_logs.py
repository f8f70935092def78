"""Lines of `ctx.logger` that a report takes along: bounded, in place, and never the reason that a run fails."""

from typing import Any

import msgspec

from ironflow.sdk.durable.run_logger import RunLogger
from ironflow.sdk.durable.run_logs import LINE_BYTES_MAX, WAITING_MAX, RunLogs, in_step


def a_logger(logs: RunLogs, *secrets: str) -> RunLogger:
    return RunLogger({"run_id": "run_1"}, secrets, logs)


def found(logs: RunLogs) -> list[tuple[str, str, Any]]:
    return [
        (line.level, line.message, msgspec.json.decode(line.data) if line.data else None) for line in logs.waiting()
    ]


def test_lines_are_kept_from_their_level_on_whatever_logging_does_with_them():
    logs = RunLogs("warn")
    log = a_logger(logs)

    log.info("quiet")
    log.warning("loud %s", "line", extra={"amount": 5})
    log.error("data", {"of": {1: {2}}})  # noqa: PLE1205 - data in place of arguments

    assert found(logs) == [("warn", "loud line", {"amount": 5}), ("error", "data", {"of": {"1": [2]}})]


def test_without_a_level_nothing_is_kept():
    logs = RunLogs("")
    a_logger(logs).error("loud")

    assert logs.waiting() == ()


def test_a_traceback_is_in_the_text():
    logs = RunLogs("info")
    try:
        raise ValueError("no card")
    except ValueError:
        a_logger(logs).exception("failed")

    ((level, text, _),) = found(logs)
    assert (level, text.splitlines()[0], text.splitlines()[-1]) == ("error", "failed", "ValueError: no card")


def test_secrets_are_replaced_before_a_line_waits():
    logs = RunLogs("info")
    a_logger(logs, "s3cr3t-value").info("key %s", "s3cr3t-value", extra={"s3cr3t-value": ["s3cr3t-value"]})

    assert found(logs) == [("info", "key [secret]", {"[secret]": ["[secret]"]})]


def test_a_line_belongs_to_the_step_whose_body_wrote_it():
    logs = RunLogs("info")
    with in_step("run_1:charge:0"):
        a_logger(logs).info("in")
    a_logger(logs).info("out")

    assert [line.step_id or "" for line in logs.waiting()] == ["run_1:charge:0", ""]


def test_a_handler_that_is_replayed_keeps_its_lines_once_and_those_of_bodies_always():
    logs = RunLogs("info", lambda: True)
    a_logger(logs).info("again")
    with in_step("run_1:charge:0"):
        a_logger(logs).info("in")

    assert [text for _, text, _ in found(logs)] == ["in"]


def test_what_cannot_be_written_is_shown_as_text_or_left_out():
    logs = RunLogs("info")
    log = a_logger(logs)
    loop: dict[str, Any] = {}
    loop["self"] = loop

    log.info("nul \0 and half \ud800", extra={"where": "\ud800"})
    log.info("thing", extra={"thing": object})
    log.info("loop", extra=loop)
    log.info("x" * (LINE_BYTES_MAX + 1))

    texts = [text for _, text, _ in found(logs)]
    assert texts[:3] == ["nul \ufffd and half ?", "thing", "loop"]
    assert len(texts[-1]) == LINE_BYTES_MAX
    assert logs.waiting()[-1].truncated


def test_lines_beyond_what_may_wait_are_counted_where_they_are_missing():
    logs = RunLogs("info")
    log = a_logger(logs)
    for each in range(WAITING_MAX + 5):
        log.info("%d", each)
    sent = logs.waiting()
    assert len(sent) == WAITING_MAX

    logs.reported(sent)
    log.info("next")

    assert [(level, text) for level, text, _ in found(logs)] == [
        ("info", "next"),
        ("warn", "5 lines are left out here: they were written faster than they could be reported."),
    ]
    numbers = [line.number for line in (*sent, *logs.waiting())]
    assert numbers == list(range(WAITING_MAX + 2))

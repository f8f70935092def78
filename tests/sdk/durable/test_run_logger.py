"""Lines of `ctx.logger`: the run's fields, the handler's data, and no secret."""

import logging

import pytest

from ironflow.base.logs import JsonFormatter, TextFormatter
from ironflow.sdk.durable.run_logger import RunLogger

RUN = {"run_id": "run_7", "function_id": "f", "attempt": 2}
SECRET = "hunter2-hunter2"


@pytest.fixture(autouse=True)
def every_line(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "ironflow.function")


def fields(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    (record,) = caplog.records
    standard = vars(logging.makeLogRecord({})).keys() | {"message"}
    return {name: value for name, value in vars(record).items() if name not in standard}


@pytest.mark.parametrize(
    ("args", "more"),
    [
        (("charging",), {"extra": {"amount": 5}}),
        (("charging", {"amount": 5}), {}),
        (("charging", {"amount": 4}), {"extra": {"amount": 5}}),
    ],
)
def test_data_is_kept_beside_the_fields_of_the_run(caplog: pytest.LogCaptureFixture, args, more):
    RunLogger(RUN).info(*args, **more)

    assert fields(caplog) == {"amount": 5, **RUN}
    (record,) = caplog.records
    assert TextFormatter().format(record).endswith("charging  amount=5 run_id=run_7 function_id=f attempt=2")
    assert '"message":"charging","amount":5,"run_id":"run_7"' in JsonFormatter().format(record)


def test_arguments_of_a_format_are_no_data(caplog: pytest.LogCaptureFixture):
    RunLogger(RUN).info("charging %(amount)d", {"amount": 5})
    assert caplog.messages == ["charging 5"]
    assert fields(caplog) == RUN


def test_data_takes_no_field_of_the_run_or_of_logging(caplog: pytest.LogCaptureFixture):
    RunLogger(RUN).warning("charging", {"run_id": "other", "name": "Ada", "message": "hello"})
    assert fields(caplog) == {"name_": "Ada", "message_": "hello", **RUN}


def test_a_secret_is_replaced_in_text_data_and_traceback(caplog: pytest.LogCaptureFixture):
    data = {"key": SECRET, "all": [SECRET, 7, {SECRET: None}], "bytes": SECRET.encode()}
    try:
        raise ValueError(SECRET)
    except ValueError:
        RunLogger(RUN, (SECRET,)).exception("charging with " + SECRET, extra=data)

    (record,) = caplog.records
    assert fields(caplog) == {
        "key": "[secret]",
        "all": ["[secret]", 7, {"[secret]": None}],
        "bytes": "b'[secret]'",
        **RUN,
    }
    assert "ValueError: [secret]" in record.getMessage()
    assert SECRET not in JsonFormatter().format(record)


def test_arguments_that_do_not_fit_fail_no_run_and_show_no_secret(caplog: pytest.LogCaptureFixture):
    RunLogger(RUN, (SECRET,)).info("%d orders", SECRET)
    assert caplog.messages == ["%d orders ('[secret]',)"]

"""Rules of secrets: names, values, and what a report may contain."""

import pytest

from ironflow.base.errors import IronflowError
from ironflow.base.secret_texts import secret_texts
from ironflow.engine import commands
from ironflow.engine.model import ErrorValue, RunValue
from ironflow.features.secrets import rules

FENCE = commands.Fence("job_1_1", 1, "t")
VALUE = 'pa"ss\\wörd-1'
TEXTS = secret_texts([VALUE, "short"])


def report(**fields: object) -> commands.Report:
    return commands.Report(fence=FENCE, lease_ms=1, **{"kind": "progress", **fields})  # pyright: ignore[reportArgumentType]


def step(output: str | None = None, error: str | None = None) -> commands.StepReport:
    status = "completed" if error is None else "failed"
    return commands.StepReport("run_1:charge:0", "charge", "invoke", status, output, error)


@pytest.mark.parametrize("name", ["K", "STRIPE_KEY", "db.password-2", "_", "x" * 128])
def test_a_name_is_letters_digits_and_three_signs(name: str):
    rules.check_name(name)


@pytest.mark.parametrize("name", ["", "-k", ".k", "a b", "a/b", "ключ", "x" * 129, "a\n", "k*"])
def test_another_name_is_refused(name: str):
    with pytest.raises(IronflowError, match="no name of a secret"):
        rules.check_name(name)


@pytest.mark.parametrize("value", ["", "a\0b", "\ud800", "x" * (rules.VALUE_BYTES_MAX + 1)])
def test_a_value_that_is_refused_is_not_in_the_error(value: str):
    with pytest.raises(IronflowError) as refused:
        rules.check_value(value)
    assert not value or value not in str(refused.value)


def test_a_report_without_secrets_is_unchanged():
    clean = report(steps=(step('{"a":"short"}'),))
    assert rules.without_secrets(clean, TEXTS) is not None
    assert rules.without_secrets(clean, TEXTS) == clean
    assert rules.without_secrets(clean, ()) is clean


@pytest.mark.parametrize("output", ['{"a":["pa\\"ss\\\\wörd-1"]}', '"x pa\\"ss\\\\w\\u00f6rd-1 y"', f'"{VALUE}"'])
def test_an_output_with_a_secret_fails_its_step_and_the_run(output: str):
    kept = rules.without_secrets(report(steps=(step('"fine"'), step(output))), TEXTS)

    assert (kept.kind, kept.steps[0].output) == ("failed", '"fine"')
    assert kept.error is not None
    assert (kept.error.code, kept.error.retryable) == ("SECRET_IN_OUTPUT", False)
    assert (kept.steps[1].status, kept.steps[1].output) == ("failed", None)
    assert "SECRET_IN_OUTPUT" in (kept.steps[1].error or "")
    assert "rd-1" not in str(kept)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "completed", "output": f'"{VALUE}"'},
        {"kind": "yielded", "yields": (commands.Invoke("s", "s", "f", f'"{VALUE}"', 1, asynchronous=False),)},
        {"kind": "yielded", "yields": (commands.WaitForEvent("s", "s", "e", "data.x", VALUE, "", 1),)},
    ],
)
def test_the_output_of_a_run_and_what_it_waits_for_hold_no_secret(fields: dict[str, object]):
    kept = rules.without_secrets(report(**fields), TEXTS)

    assert (kept.kind, kept.output, kept.yields) == ("failed", None, ())
    assert kept.error is not None
    assert kept.error.code == "SECRET_IN_OUTPUT"
    assert "rd-1" not in str(kept)


@pytest.mark.parametrize("value", [RunValue("token", f'"{VALUE}"', 2), RunValue(VALUE, "1", 2)])
def test_a_value_with_a_secret_fails_the_run_and_is_not_kept(value: RunValue):
    fine = RunValue("total", "5", 1)
    kept = rules.without_secrets(report(values=(fine, value)), TEXTS)

    assert (kept.kind, kept.values) == ("failed", (fine,))
    assert kept.error is not None
    assert kept.error.code == "SECRET_IN_OUTPUT"
    assert "rd-1" not in str(kept)


def test_errors_are_redacted():
    error = ErrorValue(message=f"refused: {VALUE}", code="X", stack=f"Traceback {VALUE}", retryable=True)
    steps = (step(error='{"message":"refused: pa\\"ss\\\\wörd-1","retryable":true}'),)
    kept = rules.without_secrets(report(kind="failed", error=error, steps=steps), TEXTS)

    assert kept.error == ErrorValue(message="refused: [secret]", code="X", stack="Traceback [secret]", retryable=True)
    assert kept.steps[0].error == '{"message":"refused: [secret]","retryable":true}'


def test_details_of_errors_are_redacted():
    error = ErrorValue(message="no", code="NO", details={"sent": [VALUE], "left": 1})
    kept = rules.without_secrets(report(kind="failed", error=error), TEXTS)

    assert kept.error == ErrorValue(message="no", code="NO", details={"sent": ["[secret]"], "left": 1})

"""Dear expressions are evaluated in a process of their own, which is given up when it takes too long."""

import time
from collections.abc import Iterator

import pytest

from ironflow.base import cel
from ironflow.base.cel import Expression
from ironflow.features.events import contract as events
from ironflow.features.functions import contract as functions
from ironflow.server import expressions
from ironflow.server.expressions import Evaluator
from tests.support.server import open_server
from tests.support.work import Work

HOSTILE = "data.s.matches('(a{0,100}){0,10}(x+x+)+y')"


@pytest.fixture
def evaluator() -> Iterator[Evaluator]:
    before, evaluator = cel.elsewhere(), Evaluator()
    cel.evaluate_dear(evaluator)
    yield evaluator
    cel.evaluate_dear(before)
    evaluator.close()


def test_an_expression_that_may_be_dear_is_evaluated_in_another_process(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expressions, "DEADLINE_S", 20)
    found = Expression(HOSTILE, None)
    assert found.matches({"s": "xxxy", "big": 10**30}) is True
    assert found.matches({"s": "y"}) is False
    assert found.matches({}) is False


def test_a_dear_expression_is_given_up_once_and_matches_nothing_for_a_while(
    evaluator: Evaluator, caplog: pytest.LogCaptureFixture
) -> None:
    """The machine may be slow; what matters is that a caller does not wait for the ten seconds that this takes."""
    found = Expression(HOSTILE, None)
    hostile = {"s": "a" * 800_000}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(expressions, "DEADLINE_S", 20)
        assert found.matches({"s": "xxxy"}) is True
    began = time.monotonic()
    assert found.matches(hostile) is False
    # Fifty of them, as in a batch, cost as much as one.
    assert [found.matches(hostile) for _ in range(50)] == [False] * 50
    assert time.monotonic() - began < 5
    assert [record.message for record in caplog.records] == ["expression given up"]

    found._given_up_until = 0.0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(expressions, "DEADLINE_S", 20)
        assert found.matches({"s": "xxxy"}) is True


class Observed:
    """Evaluates nothing; writes down in which order it is asked. Every expression is true."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def prepare(self) -> None:
        self.asked.append("prepare")

    def matches(self, source: str, values: bytes) -> bool:
        self.asked.append("matches")
        return True


async def test_the_processes_start_with_the_server_and_not_with_the_first_event(database_url: str) -> None:
    dear = {"event": "order.placed", "expression": "data.s.matches('(a{0,9})+b')"}
    async with open_server(Work, database_url) as server:
        await server.call(functions.register, id="dear", triggers=[dear])
    # As in another process.
    cel.expression.cache_clear()

    async with open_server(Work, database_url) as server:
        observed = Observed()
        cel.evaluate_dear(observed)
        try:
            await server.inside.start()
            assert observed.asked == ["prepare"]
            emitted = await server.call(events.emit, event="order.placed", data={"s": "ab"})
        finally:
            cel.evaluate_dear(None)

    assert observed.asked == ["prepare", "matches"]
    assert len(emitted.run_ids) == 1


def test_another_process_starts_when_one_is_given_up(evaluator: Evaluator) -> None:
    found = Expression(HOSTILE, None)
    assert found.matches({"s": "a" * 800_000}) is False
    assert len(evaluator._processes) == 2

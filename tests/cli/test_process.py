"""Interrupting a command that goes on for long."""

import contextlib
import signal

import pytest

from ironflow.base.errors import IronflowError
from ironflow.cli.exits import Interrupted
from ironflow.cli.process import interruptible

KINDS = [signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", KINDS)
def test_a_signal_is_raised_where_it_comes_and_handled_as_before_afterwards(number):
    before = signal.getsignal(number)

    def work():
        with interruptible():
            signal.raise_signal(number)
            pytest.fail("it went on")

    with pytest.raises(Interrupted, match=number.name):
        work()
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", KINDS)
def test_a_signal_that_came_where_errors_are_borne_is_told_of_at_the_next_look_and_at_the_end(number):
    looked = []

    def work():
        with interruptible() as interruption:
            interruption.check()
            with contextlib.suppress(IronflowError):
                signal.raise_signal(number)
            with pytest.raises(Interrupted):
                interruption.check()
            looked.append("went on to the end")

    with pytest.raises(Interrupted, match=number.name):
        work()
    assert looked == ["went on to the end"]

"""Interruption of long commands."""

import contextlib
import signal

import pytest

from ironflow.base.errors import IronflowError
from ironflow.cli.exits import Interrupted
from ironflow.cli.process import interruptible

KINDS = [signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", KINDS)
def test_a_signal_is_raised_at_once_and_its_former_handler_is_restored(number):
    before = signal.getsignal(number)

    def work():
        with interruptible():
            signal.raise_signal(number)
            pytest.fail("it went on")

    with pytest.raises(Interrupted, match=number.name):
        work()
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", KINDS)
def test_a_signal_inside_an_error_tolerant_block_is_raised_at_the_next_check_and_at_the_end(number):
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

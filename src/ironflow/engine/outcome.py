"""The result of one `decide_` function: facts that happened and effects to write."""

from typing import NamedTuple

from ironflow.engine.effects import Effect
from ironflow.engine.facts import Fact


class Outcome(NamedTuple):
    """Empty when the command changes nothing."""

    facts: tuple[Fact, ...] = ()
    effects: tuple[Effect, ...] = ()


NOTHING = Outcome()

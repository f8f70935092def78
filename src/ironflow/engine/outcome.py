"""The result of one `decide_` function: facts that happened and effects to write."""

import msgspec

from ironflow.engine.effects import Effect
from ironflow.engine.evolve import evolve
from ironflow.engine.facts import Fact
from ironflow.engine.model import Run


class Outcome(msgspec.Struct, frozen=True):
    """Empty when the command changes nothing.

    after: the run after all facts, where the decision has it already.
    """

    facts: tuple[Fact, ...] = ()
    effects: tuple[Effect, ...] = ()
    after: Run | None = None


NOTHING = Outcome()


class Progression:
    """What a decision of several parts has found so far. run: after all facts; each part is decided on it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.facts: list[Fact] = []
        self.effects: list[Effect] = []

    def add(self, *facts: Fact) -> None:
        for fact in facts:
            self.run = evolve(self.run, fact)
            self.facts.append(fact)

    def extend(self, outcome: Outcome) -> None:
        self.add(*outcome.facts)
        self.effects += outcome.effects

    def outcome(self) -> Outcome:
        return Outcome(tuple(self.facts), tuple(self.effects), self.run)

"""Puts the feature into a server."""

from ironflow.features.dead_letters.loops import PurgeDeadLetters
from ironflow.features.dead_letters.service import DeadLetters, Groups
from ironflow.features.parts import Parts


def install(parts: Parts, groups: Groups) -> None:
    """groups: what dead letters need of their consumer groups, which know this feature themselves."""
    parts.bind(DeadLetters(parts.db, groups).handlers())
    parts.loops.append(PurgeDeadLetters(parts.db, parts.settings.dead_letter_retention_days))

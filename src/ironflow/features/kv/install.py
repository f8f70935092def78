"""Puts the feature into a server."""

from ironflow.features.kv.loops import Expire
from ironflow.features.kv.service import KeyValue
from ironflow.features.parts import Parts


def install(parts: Parts) -> None:
    parts.bind(KeyValue(parts.db, parts.notifier).handlers())
    parts.loops.append(Expire(parts.db))

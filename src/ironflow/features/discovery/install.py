"""Puts the feature into a server."""

from ironflow.features.discovery.service import Discovery
from ironflow.features.functions.in_tx import FunctionIndex
from ironflow.features.parts import Parts
from ironflow.features.push.service import Push


def install(parts: Parts) -> None:
    parts.bind(Discovery(parts.db, parts.need(FunctionIndex), parts.need(Push)).handlers())

"""Puts the feature into a server."""

from ironflow.features.audit.service import Audit
from ironflow.features.parts import Parts


def install(parts: Parts) -> None:
    parts.bind(Audit(parts.db, parts.settings.run_retention_days).handlers())

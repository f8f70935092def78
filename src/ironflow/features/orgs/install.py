"""Puts the feature into a server."""

from ironflow.features.orgs.service import CountProjects, Orgs
from ironflow.features.parts import Parts


def install(parts: Parts, count_projects: CountProjects) -> None:
    parts.bind(Orgs(parts.db, parts.ids, count_projects).handlers())

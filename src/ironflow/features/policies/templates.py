"""Policies that are often needed, to be installed by name."""

from typing import NamedTuple


class Template(NamedTuple):
    """actions, resources, condition: as of a policy."""

    name: str
    description: str
    effect: str
    actions: str
    resources: str = "*"
    condition: str = ""


TEMPLATES = (
    Template("emit-only", "Emits events, and reads nothing.", "allow", "events:emit"),
    Template(
        "read-only",
        "Reads everything but the values of secrets.",
        "allow",
        "*:read, events:subscribe, sql:query",
    ),
    Template(
        "worker",
        "What a worker needs: jobs, functions, projections, events.",
        "allow",
        "workers:*, functions:read, functions:write, projections:run, projections:read, events:emit, events:read, "
        "entities:append, entities:read, schemas:read, schemas:write",
    ),
    Template(
        "no-redaction",
        "Denies what cannot be undone: redacting and deleting.",
        "deny",
        "*:redact, runs:delete, entities:delete",
    ),
    Template("no-secrets", "Denies everything about secrets.", "deny", "secrets:*"),
)

"""What queries may read: views of one environment, named as clients know them, without secrets and foreign values.

Columns are kept: programs ask for them by name. Source: docs/reference/sql.md, "Views".
"""

from ironflow.base.sqltext import DialectName

# {environment} is the environment as a text of SQL, {main} what stands before the server's own tables.
# {time:column} is a time in milliseconds as people read it, {json:column} a text as JSON.
VIEWS = {
    "events": """SELECT position AS seq, id, name, {json:data} AS data, {json:metadata} AS metadata, version, source,
 namespace, kind, run_id, emitted_by, entity_type, entity_id, entity_version, created_at, {time:created_at} AS timestamp
FROM {{main}}events WHERE environment = {environment} AND kind IN ('event', 'entity', 'topic')""",
    "runs": """SELECT id, function_id, function_version, event_id, event_name, key, CASE WHEN status = 'waiting' THEN
 CASE WHEN reason IN ('retry', 'throttle') THEN 'pending' ELSE 'paused' END ELSE status END AS status, status AS state,
 reason, attempt, {json:output} AS output, {json:error} AS error, parent_run_id, worker_id, cancellation_cause,
 restarted_from, restarted_as, first_run_id, link,
 created_at, {time:created_at} AS created, started_at, {time:started_at} AS started, ended_at, {time:ended_at} AS ended,
 ended_at - started_at AS duration_ms
FROM {{main}}runs WHERE environment = {environment}""",
    "steps": """SELECT r.id AS run_id, r.function_id, s.step_id, s.name, s.type, s.status, s.sequence, s.attempt,
 {json:s.output} AS output, {json:s.error} AS error, s.started_at, {time:s.started_at} AS started, s.ended_at,
 {time:s.ended_at} AS ended, COALESCE(s.started_at, s.ended_at, r.created_at) AS created_at, s.duration_ms,
 s.child_run_id, s.source, s.injected
FROM {{main}}runs r JOIN {{main}}steps s ON s.run_id = r.id WHERE r.environment = {environment}""",
    "streams": """SELECT entity_id, entity_type, version, event_count, created_at, {time:created_at} AS created,
 updated_at, {time:updated_at} AS updated, deleted_at
FROM {{main}}streams WHERE environment = {environment}""",
    "functions": """SELECT id, version, status, created_at, {time:created_at} AS created, updated_at,
 {time:updated_at} AS updated
FROM {{main}}functions WHERE environment = {environment}""",
    "projections": """SELECT p.name, 'sql' AS mode, p.description, p.paused, g.position AS last_event_seq,
 g.error AS error_message, p.created_at, {time:p.created_at} AS created, g.updated_at, {time:g.updated_at} AS updated
FROM {{main}}sql_projections p JOIN {{main}}sql_generations g
 ON g.environment = p.environment AND g.name = p.name AND g.generation = p.serving
WHERE p.environment = {environment}""",
}


# What a caller must be allowed to read to query a view; every other table is a SQL projection's.
SCOPES = {
    "events": "events:read",
    "runs": "runs:read",
    "steps": "runs:read",
    "streams": "entities:read",
    "functions": "functions:read",
    "projections": "projections:read",
}
TABLE_SCOPE = "projections:read"


class _Form:
    """A fragment with a column's name in it: `{time:created_at}`."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __format__(self, column: str) -> str:
        return self._text.replace("COLUMN", column)


_FORMS = {
    "sqlite": {
        "json": _Form("COLUMN"),
        "time": _Form("strftime('%Y-%m-%dT%H:%M:%fZ', COLUMN / 1000.0, 'unixepoch')"),
    },
    "postgres": {
        # json, not jsonb: it takes every JSON that an event may hold.
        "json": _Form("CAST(COLUMN AS json)"),
        "time": _Form("to_timestamp(COLUMN / 1000.0)"),
    },
}


def views_of(environment: str, dialect: DialectName) -> dict[str, str]:
    """The SELECT of each view by name, with `{main}` before the server's tables."""
    quoted = "'" + environment.replace("'", "''").replace("{", "{{").replace("}", "}}") + "'"
    return {name: sql.format(environment=quoted, **_FORMS[dialect]) for name, sql in VIEWS.items()}

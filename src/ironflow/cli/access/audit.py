"""`ironflow audit`: what happened, who did it, and whether the record is whole."""

from typing import Annotated

from cyclopts import App, Parameter
from rich.table import Table

from ironflow.base.json import read_json
from ironflow.cli.exits import Exit, UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import table
from ironflow.cli.terminal.times import time_text
from ironflow.features.audit import contract as audit
from ironflow.features.audit.contract import AuditEvent
from ironflow.features.audit_notes import contract as audit_notes

app = App("audit", help="Show what happened, and verify the record.")

EventType = Annotated[str, Parameter(name=["--event-type", "--action"], help="Only events of this type.")]
Since = Annotated[str, Parameter(name="--from", help="Only from this time on, RFC 3339.")]
Until = Annotated[str, Parameter(name="--to", help="Only before this time, RFC 3339.")]


@app.command
def trail(
    run_id: str,
    /,
    *,
    event_type: EventType = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 1000,
    cursor: Cursor = "",
    cli: Injected,
) -> None:
    """Show the history of a recorded run, from its start.

    Args:
        run_id: The run's id.
    """
    request = audit.GetAuditTrail(
        run_id=run_id, event_type=event_type, from_timestamp=since, to_timestamp=until, limit=limit, cursor=cursor
    )
    answer = cli.call(audit.trail, request)
    cli.show(answer, lambda: _table(answer.events))
    note_more(cli, answer.next_cursor)


@app.command
def auth_trail(
    *,
    org: str = "",
    key: str = "",
    event_type: EventType = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    cli: Injected,
) -> None:
    """Show administrative changes and refusals, newest first.

    Args:
        org: The organisation; there is one, org_default.
        key: Only what was done with this API key.
    """
    if org not in ("", "org_default"):
        raise UsageError(f"there is no organisation {org!r}; the audit notes are those of org_default.")
    request = audit.ListAudit(
        only="notes",
        api_key_id=key,
        event_type=event_type,
        from_timestamp=since,
        to_timestamp=until,
        limit=limit,
        cursor=cursor,
    )
    answer = cli.call(audit.list_, request)
    cli.show(answer, lambda: _table(answer.events))
    note_more(cli, answer.next_cursor)


@app.command
def verify(*, cli: Injected) -> Exit:
    """Verify that no note was changed, removed or put in between. Ends with 1 when one was."""
    with cli.waiting("verifying"):
        answer = cli.call(audit_notes.verify, audit_notes.Verify(), timeout=600)
    if answer.valid:
        cli.show(
            answer, lambda: f"valid: {answer.notes} notes, {answer.first} to {answer.last}; anchor: {answer.anchor}"
        )
        return Exit.OK
    cli.show(answer, lambda: f"broken at {answer.broken_at}: {answer.reason}")
    return Exit.FAILED


def _table(events: list[AuditEvent]) -> Table:
    return table(
        ["WHEN", "EVENT", "WHO", "SUMMARY"],
        (
            [
                time_text(each.created_at),
                each.event_type,
                (each.metadata or {}).get("actor", ""),
                _summary(each),
            ]
            for each in events
        ),
    )


def _summary(event: AuditEvent) -> str:
    payload = read_json(bytes(event.payload))
    return str(payload.get("summary", "")) if isinstance(payload, dict) else ""

"""Lets other features note what was done in their own transactions, and read the notes."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.json import write_json_text
from ironflow.base.operation import Operation
from ironflow.base.time import Millis
from ironflow.features.audit_notes import rules, store
from ironflow.features.audit_notes.rules import Note as Note
from ironflow.features.audit_notes.store import count as count
from ironflow.features.audit_notes.store import newest as newest
from ironflow.storage.port import Tx


def record(
    tx: Tx,
    call: Call,
    operation: Operation[Any, Any],
    request: Any,
    event_type: str,
    summary: str,
    *,
    function_id: str = "",
    **details: Any,
) -> None:
    """The caller did this, in the caller's environment, as one note of the chain.

    summary: for people. details: JSON values; those that are None are left out. The rule that allowed it and the
    caller's address are added.
    """
    access = call.principal.access
    payload = {
        "summary": summary,
        "operation": operation.name,
        "rule": access.rule_of(call, operation.scope, request) if access is not None else None,
        "address": call.remote_address or None,
        **details,
    }
    append(tx, call.environment, call.now, event_type, call.principal.name or "api", payload, function_id)


def append(
    tx: Tx,
    environment: str,
    at: Millis,
    event_type: str,
    actor: str,
    payload: dict[str, Any],
    function_id: str = "",
) -> None:
    """Adds a note to the end of the chain. Until the commit, no other transaction adds one."""
    head = store.head(tx, to_write=True)
    position = head.position + 1
    text = write_json_text({name: value for name, value in payload.items() if value is not None})
    note = rules.Note(
        id=f"aud_{position:016d}",
        environment=environment,
        at=at,
        function_id=function_id,
        event_type=event_type,
        actor=actor,
        payload=text,
        position=position,
        hash="",
    )
    note = rules.chained(note, head.hash)
    store.add(tx, note)
    store.save_head(tx, head._replace(position=position, hash=note.hash))

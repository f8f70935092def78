"""What other rooms tell the audit trail inside their own transactions, where no run's facts tell it."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.ids import Ids
from ironflow.base.json import write_json_text
from ironflow.features.audit import store
from ironflow.features.audit.store import Note
from ironflow.storage.port import Tx


def note(tx: Tx, ids: Ids, call: Call, event_type: str, function_id: str, payload: dict[str, Any]) -> None:
    """The caller did this, in the caller's environment. payload: JSON values, with a `summary` for people."""
    text = write_json_text(payload)
    actor = call.principal.name or "api"
    store.add(tx, Note(ids.new("aud"), call.environment, call.now, function_id, event_type, actor, text))

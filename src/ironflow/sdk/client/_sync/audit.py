# Generated from ironflow/sdk/client/features/audit.py by generate_sync; edit that file.
"""`client.audit`: who changed what and was refused, and whether nothing was removed from that."""

from datetime import datetime
from typing import Literal

from ironflow.features.audit import contract
from ironflow.features.audit.contract import AuditEvent
from ironflow.features.audit_notes import contract as notes
from ironflow.features.audit_notes.contract import Verified
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing


class Audit:
    """The audit trail of an environment. That of one run is `client.runs.audit`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(
        self,
        *,
        only: Literal["", "notes"] = "",
        event_type: str = "",
        function_id: str = "",
        run_id: str = "",
        api_key_id: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 100,
    ) -> Listing[AuditEvent]:
        """Events, newest first. only: `notes`, what was done and refused outside of runs' histories."""
        request = contract.ListAudit(
            only=only,
            event_type=event_type,
            function_id=function_id,
            run_id=run_id,
            api_key_id=api_key_id,
            from_timestamp=since.isoformat() if since is not None else "",
            to_timestamp=until.isoformat() if until is not None else "",
            limit=page_size,
        )
        return Listing(self._calls, contract.list_, request, lambda page: page.events)

    def verify(self) -> Verified:
        """Whether no note was changed or removed. Needs a key for all environments."""
        return self._calls.call(notes.verify, notes.Verify())

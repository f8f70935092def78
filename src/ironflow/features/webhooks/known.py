"""The sources that requests come to, with their secrets, as this process knows them.

A source is read once a second at most; a change on any node is notified, so a secret that was taken away is accepted
for no longer than that.
"""

from typing import NamedTuple

from ironflow.base.time import Millis
from ironflow.features.secrets.in_tx import Vault, kept_values
from ironflow.features.webhooks import rules, store
from ironflow.features.webhooks.rules import SourceRow
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx

# Notified with the id of a source that was changed.
CHANGED = "webhook_sources"
KEPT_MS = 1_000
SOURCES_MAX = 1_000
# Not the name of an environment: its secrets are in no list, and encrypted anew like all others.
SECRETS_OF = "$webhooks"


class KnownSource(NamedTuple):
    """secrets: (current, previous), empty where there is none. The previous counts until its grace is over."""

    row: SourceRow
    secrets: tuple[str, str]
    read_at: Millis

    def secrets_at(self, now: Millis) -> tuple[str, str]:
        return (self.secrets[0], self.secrets[1] if now < self.row.secret_prev_until else "")

    def __repr__(self) -> str:
        return f"KnownSource({self.row.id!r})"


class KnownSources:
    """Looks up sources by id."""

    def __init__(self, db: Database, vault: Vault, notifier: Notifier) -> None:
        self._db = db
        self._vault = vault
        self._known: dict[str, KnownSource] = {}
        notifier.listen(CHANGED, self._changed)

    async def find(self, source_id: str, now: Millis) -> KnownSource | None:
        """Raises MasterKeyMissing when its secrets cannot be decrypted now."""
        known = self._known.get(source_id)
        if known is not None and 0 <= now - known.read_at < KEPT_MS:
            return known
        found = await self._db.peek(lambda tx: self.look(tx, source_id, now))
        if found is not None:
            if len(self._known) >= SOURCES_MAX:
                self._known.clear()
            self._known[source_id] = found
        return found

    def look(self, tx: Tx, source_id: str, now: Millis) -> KnownSource | None:
        """The source as the transaction sees it. Raises MasterKeyMissing."""
        row = store.source(tx, source_id)
        if row is None:
            return None
        names = rules.secret_names(row)
        values = kept_values(tx, self._vault, SECRETS_OF, names) if names else {}
        current, previous = (rules.secret_name(row, number) for number in (row.secret, row.secret_prev))
        return KnownSource(row, (values.get(current, ""), values.get(previous, "")), now)

    def forget(self, source_id: str) -> None:
        self._known.pop(source_id, None)

    def _changed(self, _: set[str]) -> None:
        self._known.clear()

"""What goes on by itself: an interrupted rekey is finished, and a missing master key is looked for again."""

import asyncio
import logging

from ironflow.base.loop import Ran
from ironflow.base.time import Millis
from ironflow.features.secrets import store
from ironflow.features.secrets.contract import MasterKeyMissing
from ironflow.features.secrets.master_keys import InvalidMasterKey
from ironflow.features.secrets.service import Secrets
from ironflow.features.secrets.vault import CHANGED, Vault
from ironflow.storage.port import Database

logger = logging.getLogger(__name__)


class EncryptAnew:
    """Encrypts secrets that are under an old data key with the newest one, and drops data keys without secrets.

    Notices as well that no environment has secrets, so that nothing is looked up for functions that declare some.
    """

    name = "secrets"
    topic = CHANGED
    every_ms = 30_000
    notable = ("encrypted", "dropped")

    def __init__(self, db: Database, vault: Vault, secrets: Secrets) -> None:
        self._db, self._vault, self._secrets = db, vault, secrets

    async def run_once(self, now: Millis) -> Ran:
        """One round."""
        changes = self._vault.changes
        if not await self._db.read(store.any_there):
            self._vault.missing = None
            if changes == self._vault.changes:
                self._vault.are_there = False
            return Ran()
        if self._vault.missing is not None or not await self._has_masters():
            await self._look_for_keys()
            if self._vault.missing is not None:
                return Ran(next_at=now + 5_000)
        encrypted, dropped = await self._secrets.encrypt_anew(now)
        done = {name: count for name, count in (("encrypted", encrypted), ("dropped", dropped)) if count}
        return Ran(done, more=bool(done))

    async def _has_masters(self) -> bool:
        """Whether the keys that the database needs are known."""
        try:
            for each in await self._db.read(store.masters):
                self._vault.masters.find(each)
        except MasterKeyMissing as fault:
            self._vault.missing = fault.message
            return False
        return True

    async def _look_for_keys(self) -> None:
        before = self._vault.missing
        try:
            await asyncio.to_thread(self._vault.masters.read)
        except InvalidMasterKey as fault:
            self._vault.missing = fault.message
            return
        self._vault.missing = None
        if await self._has_masters() and before is not None:
            logger.info("master key found")
            # Functions whose jobs waited for their secrets.
            self._db.notify("jobs", local=True)

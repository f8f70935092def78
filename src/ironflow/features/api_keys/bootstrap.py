"""The first key: made once for each database, by one of its nodes, and written where only the operator reads it."""

import logging
import os
from pathlib import Path

from ironflow.base.errors import IronflowError
from ironflow.base.ids import Ids
from ironflow.base.json import write_json_text
from ironflow.base.time import Millis
from ironflow.features.api_keys import rules, store
from ironflow.features.api_keys.rules import ApiKeyRow
from ironflow.features.policies.service import DEFAULT_ORG
from ironflow.features.roles.in_tx import ADMIN
from ironflow.storage.port import Database, Tx

logger = logging.getLogger(__name__)


class CannotWriteKey(IronflowError):
    """The file for the first API key cannot be written."""

    code = "CANNOT_WRITE_KEY"
    exit_code = 73


async def seed_first_key(db: Database, ids: Ids, now: Millis, file: Path, seed: str) -> None:
    """At the first start of a database with authentication: makes the administrator's key.

    file: gets the key as `{"key": "ifkey_…"}`, mode 0600. seed: that key instead, and no file.
    Raises CannotWriteKey, InvalidSeed.
    """
    if seed:
        rules.check_seed(seed)
    secret = seed or rules.PREFIX + ids.token() + ids.token()

    def change(tx: Tx) -> bool:
        if not store.add_bootstrap(tx, now):
            return False
        store.add(
            tx,
            ApiKeyRow(
                id=ids.new("apikey"),
                org_id=DEFAULT_ORG,
                environment="",
                name="bootstrap",
                key_hash=rules.hash_of(secret),
                key_prefix=secret[: rules.SHOWN_CHARS],
                role_ids=ADMIN,
                created_at=now,
                created_by="",
                expires_at=0,
                last_used_at=0,
                old_hash="",
                old_until=0,
            ),
        )
        if not seed:
            # Before the commit: a crash may leave a file whose key is unknown, which the next start replaces, but no
            # key that is lost. Other nodes wait for this transaction and find it done.
            _write(file, secret)
        return True

    if await db.write(change):
        if seed:
            logger.info("first api key seeded")
        else:
            logger.info("first api key written", extra={"file": str(file)})


def _write(file: Path, secret: str) -> None:
    """Replaces the file in one step; it is never readable by others."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as out:
            os.fchmod(descriptor, 0o600)
            out.write(write_json_text({"key": secret}) + "\n")
            out.flush()
            os.fsync(descriptor)
        os.replace(part, file)
    except OSError as fault:
        raise CannotWriteKey(
            f"The first API key cannot be written to {file}: {fault.strerror}. Name another with --bootstrap-key-file."
        ) from None

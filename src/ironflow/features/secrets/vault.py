"""Encrypting and decrypting inside transactions, and which values functions were given.

A value is decrypted when it is delivered. What this process delivered is remembered, to be recognized in reports.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from ironflow.base.secret_texts import secret_texts
from ironflow.base.time import Millis
from ironflow.features.secrets import store
from ironflow.features.secrets.contract import MasterKeyMissing
from ironflow.features.secrets.encryption import KEY_BYTES, of_data_key, of_secret, opened, seal
from ironflow.features.secrets.master_keys import MasterKeys
from ironflow.features.secrets.rules import DataKeyRow, SecretRow
from ironflow.notify.port import Notifier
from ironflow.storage.port import Tx

# Notified when secrets have changed, and when a master key that was missing is there.
CHANGED = "secrets"
# Values of one secret that are recognized in reports, the last ones delivered.
DELIVERED_MAX = 8


class Vault:
    """The secrets of one server as its transactions see them.

    are_there: whether any environment has secrets, as the loop has seen it last. changes: rises with each notification.
    missing: why secrets cannot be decrypted now, None when they can.
    """

    def __init__(self, masters: MasterKeys, notifier: Notifier, chance: Callable[[int], bytes] = os.urandom) -> None:
        self.masters = masters
        self.are_there = True
        self.changes = 0
        self.missing: str | None = None
        self._chance = chance
        # By the wrapped key, which changes whenever the key or the master key does.
        self._data_keys: dict[bytes, bytes] = {}
        self._delivered: dict[tuple[str, str], tuple[str, ...]] = {}
        notifier.listen(CHANGED, self._changed)

    def encrypted(self, tx: Tx, environment: str, name: str, value: str, now: Millis) -> tuple[int, bytes]:
        """The value under the newest data key of the environment, with that key's number; the caller holds the lock.

        Makes the environment's first data key. Raises MasterKeyMissing.
        """
        newest = store.newest_data_key(tx, environment) or self.new_data_key(tx, environment, 1, now)
        try:
            key = self._open(newest)
        except MasterKeyMissing:
            if store.has_any(tx, environment):
                raise
            # The master key is lost, and no secret needs it any more.
            newest = self.new_data_key(tx, environment, newest.number + 1, now)
            key = self._open(newest)
        return newest.number, seal(key, value.encode(), of_secret(environment, name), self._chance)

    def decrypted(self, tx: Tx, environment: str, secret: SecretRow) -> str:
        """Raises MasterKeyMissing."""
        wrapped = store.data_key(tx, environment, secret.data_key)
        if wrapped is None:
            raise MasterKeyMissing(f"Data key {secret.data_key} of environment {environment!r} is not there.")
        return opened(self._open(wrapped), secret.sealed, of_secret(environment, secret.name)).decode()

    def new_data_key(self, tx: Tx, environment: str, number: int, now: Millis) -> DataKeyRow:
        """Raises MasterKeyMissing."""
        key = self._wrap(environment, number, self._chance(KEY_BYTES), now)
        store.add_data_key(tx, key)
        return key

    def rewrapped(self, key: DataKeyRow) -> DataKeyRow:
        """The same data key under the current master key. Raises MasterKeyMissing."""
        return self._wrap(key.environment, key.number, self._open(key), key.created_at)

    def deliver(self, tx: Tx, environment: str, names: Sequence[str]) -> dict[str, str]:
        """The values of those secrets that there are. Raises MasterKeyMissing."""
        if not names:
            return {}
        try:
            found = {each.name: self.decrypted(tx, environment, each) for each in store.secrets(tx, environment, names)}
        except MasterKeyMissing as fault:
            self.missing = fault.message
            raise
        for name, value in found.items():
            known = self._delivered.get((environment, name), ())
            if value not in known:
                self._delivered[environment, name] = (value, *known)[:DELIVERED_MAX]
        return found

    def recognized(self, tx: Tx, environment: str, names: Sequence[str]) -> tuple[str, ...]:
        """The texts of these secrets that must not be recorded: their values now, and those delivered before."""
        values = {value for name in names for value in self._delivered.get((environment, name), ())}
        # Without its key, what was delivered is known; the report must not wait for the operator.
        with suppress(MasterKeyMissing):
            values |= set(self.deliver(tx, environment, names).values())
        return secret_texts(values)

    def signature(self, text: str) -> str:
        """Of a text, with the current master key; empty when there is none."""
        try:
            master = self.masters.current_if_any()
        except MasterKeyMissing:
            return ""
        return f"{master.fingerprint}:{_hmac(master.key, text)}"

    def is_signature(self, text: str, signature: str) -> bool | None:
        """None when its master key is not there."""
        fingerprint, _, digest = signature.partition(":")
        try:
            master = self.masters.find(fingerprint)
        except MasterKeyMissing:
            return None
        return hmac.compare_digest(digest, _hmac(master.key, text))

    def _wrap(self, environment: str, number: int, key: bytes, created_at: Millis) -> DataKeyRow:
        master = self.masters.current()
        wrapped = seal(master.key, key, of_data_key(environment, number), self._chance)
        return DataKeyRow(environment, number, wrapped, master.fingerprint, created_at)

    def _open(self, key: DataKeyRow) -> bytes:
        found = self._data_keys.get(key.wrapped)
        if found is None:
            master = self.masters.find(key.master)
            found = opened(master.key, key.wrapped, of_data_key(key.environment, key.number))
            self._data_keys[key.wrapped] = found
        return found

    def _changed(self, _: set[str]) -> None:
        self.changes += 1
        self.are_there = True
        self.missing = None


def _hmac(key: bytes, text: str) -> str:
    return hmac.digest(key, b"ironflow signature\0" + text.encode(), hashlib.sha256).hex()

"""What happens: one method for each operation of the feature."""

import asyncio
from typing import Any

from ironflow.base.call import Call
from ironflow.base.time import Millis, to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.policies.service import check_all_environments
from ironflow.features.secrets import contract, notices, rules, store
from ironflow.features.secrets.master_keys import MasterKeys as MasterKeys
from ironflow.features.secrets.rules import SecretRow
from ironflow.features.secrets.vault import CHANGED
from ironflow.features.secrets.vault import Vault as Vault
from ironflow.storage.port import Database, Tx

# Secrets that are encrypted anew in one transaction.
AT_ONCE = 100


class Secrets:
    """Secrets of environments. No answer carries a value."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db, self._vault = db, vault

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.list_: self.list_,
            contract.get: self.get,
            contract.set_: self.set,
            contract.change: self.change,
            contract.delete: self.delete,
            contract.rekey: self.rekey,
        }

    async def create(self, call: Call, request: contract.CreateSecret) -> contract.Secret:
        rules.check_name(request.name)
        rules.check_value(request.value)

        def change(tx: Tx) -> SecretRow:
            store.lock(tx, call.environment)
            if store.secret(tx, call.environment, request.name) is not None:
                raise contract.SecretExists(f"There is a secret {request.name!r} already. Set it to change its value.")
            return self._add(tx, call, request, request.description)

        return _message(await self._db.write(change))

    async def list_(self, call: Call, request: contract.ListSecrets) -> contract.Secrets:
        found = await self._db.read(lambda tx: store.secrets_after(tx, call.environment, request.cursor, request.limit))
        more = found[-1].name if len(found) == request.limit else None
        return contract.Secrets(secrets=[_message(each) for each in found], next_cursor=more)

    async def get(self, call: Call, request: contract.NamedSecret) -> contract.Secret:
        return _message(await self._db.peek(lambda tx: _secret(tx, call, request.name)))

    async def set(self, call: Call, request: contract.SetSecret) -> contract.Secret:
        rules.check_name(request.name)
        rules.check_value(request.value)

        def change(tx: Tx) -> SecretRow:
            store.lock(tx, call.environment)
            old = store.secret(tx, call.environment, request.name)
            if old is None:
                return self._add(tx, call, request, request.description or "")
            data_key, sealed = self._vault.encrypted(tx, call.environment, request.name, request.value, call.now)
            new = old._replace(
                revision=old.revision + 1,
                description=old.description if request.description is None else request.description,
                data_key=data_key,
                sealed=sealed,
                updated_at=call.now,
            )
            store.save(tx, call.environment, new)
            _note(tx, call, request, "updated", new, old.revision)
            return new

        return _message(await self._db.write(change))

    async def change(self, call: Call, request: contract.ChangeSecret) -> contract.Secret:
        name = request.secret if request.name is None else request.name
        rules.check_name(name)

        def change(tx: Tx) -> SecretRow:
            store.lock(tx, call.environment)
            old = _secret(tx, call, request.secret)
            described = old.description if request.description is None else request.description
            new = old._replace(name=name, revision=old.revision + 1, description=described, updated_at=call.now)
            if name == old.name:
                store.save(tx, call.environment, new)
                _note(tx, call, request, "updated", new, old.revision)
                return new
            # The name is part of what is encrypted.
            value = self._vault.decrypted(tx, call.environment, old)
            data_key, sealed = self._vault.encrypted(tx, call.environment, name, value, call.now)
            new = new._replace(data_key=data_key, sealed=sealed)
            if not store.add(tx, call.environment, new):
                raise contract.SecretExists(f"There is a secret {name!r} already.")
            store.delete(tx, call.environment, old.name)
            _note(tx, call, request, "deleted", old, old.revision)
            _note(tx, call, request, "created", new)
            return new

        return _message(await self._db.write(change))

    async def delete(self, call: Call, request: contract.NamedSecret) -> None:
        def change(tx: Tx) -> None:
            store.lock(tx, call.environment)
            old = _secret(tx, call, request.name)
            store.delete(tx, call.environment, old.name)
            _note(tx, call, request, "deleted", old, old.revision)

        await self._db.write(change)

    async def rekey(self, call: Call, request: contract.Rekey) -> contract.Rekeyed:
        check_all_environments(call, "master keys")
        await asyncio.to_thread(self._vault.masters.read)
        current = self._vault.masters.current()

        def begin(tx: Tx) -> int:
            newest: dict[str, int] = {}
            for environment in store.environments(tx):
                store.lock(tx, environment)
            # Data keys without secrets may be under a master key that is lost.
            store.drop_all_unused(tx)
            for key in store.data_keys(tx):
                store.save_data_key(tx, self._vault.rewrapped(key))
                newest[key.environment] = key.number
            for environment, number in newest.items():
                self._vault.new_data_key(tx, environment, number + 1, call.now)
            about = {"master_key": current.fingerprint, "environments": len(newest)}
            audit_notes.record(tx, call, contract.rekey, request, "secrets.rekeyed", "secrets rekeyed", **about)
            tx.notify(CHANGED)
            return len(newest)

        environments = await self._db.write(begin)
        secrets = dropped = 0
        while True:
            done = await self.encrypt_anew(call.now)
            secrets, dropped = secrets + done[0], dropped + done[1]
            if not any(done):
                return contract.Rekeyed(
                    master_key=current.fingerprint,
                    environments=environments,
                    secrets=secrets,
                    data_keys_dropped=dropped,
                )

    async def encrypt_anew(self, now: Millis) -> tuple[int, int]:
        """Encrypts some of the secrets that are under an old data key with the newest; then drops unused data keys.

        Returns how many secrets, and how many data keys. Raises MasterKeyMissing.
        """
        old = await self._db.read(lambda tx: store.old_secrets(tx, AT_ONCE))

        def change(tx: Tx) -> int:
            for environment in sorted({environment for environment, _ in old}):
                store.lock(tx, environment)
            done = 0
            for environment, seen in old:
                # It may have been changed or deleted since.
                secret = store.secret(tx, environment, seen.name)
                if secret is not None:
                    value = self._vault.decrypted(tx, environment, secret)
                    data_key, sealed = self._vault.encrypted(tx, environment, secret.name, value, now)
                    store.save(tx, environment, secret._replace(data_key=data_key, sealed=sealed))
                    done += 1
            return done

        if old:
            return await self._db.write(change), 0
        environments = await self._db.read(store.with_old_data_keys)

        def drop(tx: Tx) -> int:
            dropped = 0
            for environment in environments:
                store.lock(tx, environment)
                dropped += store.drop_unused(tx, environment)
            return dropped

        return 0, (await self._db.write(drop) if environments else 0)

    def _add(
        self, tx: Tx, call: Call, request: contract.CreateSecret | contract.SetSecret, description: str
    ) -> SecretRow:
        data_key, sealed = self._vault.encrypted(tx, call.environment, request.name, request.value, call.now)
        secret = SecretRow(request.name, 1, description, data_key, sealed, call.now, call.now)
        store.add(tx, call.environment, secret)
        _note(tx, call, request, "created", secret)
        return secret


def _note(tx: Tx, call: Call, request: Any, action: str, secret: SecretRow, before: int = 0) -> None:
    """before: the revision before, 0 when there was none."""
    operation = {"created": contract.create, "updated": contract.set_, "deleted": contract.delete}[action]
    summary = f"secret {secret.name!r} {action}"
    audit_notes.record(
        tx,
        call,
        operation,
        request,
        f"secret.{action}",
        summary,
        name=secret.name,
        revision_before=before or None,
        revision=secret.revision if action != "deleted" else None,
    )
    tx.publish_local(notices.changed(call.environment, secret.name, action, secret.revision, call.now))
    tx.notify(CHANGED)


def _secret(tx: Tx, call: Call, name: str) -> SecretRow:
    """Raises SecretNotFound."""
    found = store.secret(tx, call.environment, name)
    if found is None:
        raise contract.SecretNotFound(f"There is no secret {name[:128]!r} in environment {call.environment!r}.")
    return found


def _message(secret: SecretRow) -> contract.Secret:
    return contract.Secret(
        name=secret.name,
        revision=secret.revision,
        description=secret.description or None,
        created_at=to_datetime(secret.created_at),
        updated_at=to_datetime(secret.updated_at),
    )

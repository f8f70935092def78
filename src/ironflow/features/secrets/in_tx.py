"""What other features may do with secrets inside their own transactions.

A feature keeps its own secrets under a mark that no environment has as its name, such as `$webhooks`: they are in no
list, and encrypted anew with all others when a key is replaced.
"""

from collections.abc import Sequence

from ironflow.base.time import Millis
from ironflow.features.secrets import store
from ironflow.features.secrets.contract import MasterKeyMissing as MasterKeyMissing
from ironflow.features.secrets.rules import SecretRow
from ironflow.features.secrets.rules import without_secrets as without_secrets
from ironflow.features.secrets.vault import Vault as Vault
from ironflow.storage.port import Tx


def keep(tx: Tx, vault: Vault, mark: str, name: str, value: str, now: Millis) -> None:
    """Keeps a new secret, encrypted. Raises MasterKeyMissing."""
    store.lock(tx, mark)
    number, sealed = vault.encrypted(tx, mark, name, value, now)
    store.add(tx, mark, SecretRow(name, 1, "", number, sealed, now, now))


def kept_values(tx: Tx, vault: Vault, mark: str, names: Sequence[str]) -> dict[str, str]:
    """The values of those that there are. Raises MasterKeyMissing."""
    return {each.name: vault.decrypted(tx, mark, each) for each in store.secrets(tx, mark, names)}


def forget(tx: Tx, mark: str, names: Sequence[str]) -> None:
    if names:
        store.delete_some(tx, mark, names)

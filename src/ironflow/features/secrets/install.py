"""Puts the feature into a server."""

from ironflow.features.parts import Parts
from ironflow.features.secrets.loops import EncryptAnew
from ironflow.features.secrets.master_keys import MasterKeys
from ironflow.features.secrets.service import Secrets
from ironflow.features.secrets.vault import Vault


def install(parts: Parts) -> None:
    masters = MasterKeys(parts.settings)
    masters.read()
    vault = parts.provide(Vault(masters, parts.notifier))
    secrets = Secrets(parts.db, vault)
    parts.bind(secrets.handlers())
    parts.loops.append(EncryptAnew(parts.db, vault, secrets))
    parts.warnings.append(lambda: vault.missing)

"""AES-256-GCM: a value under a data key, a data key under a master key.

A sealed text is a nonce of 12 bytes and the ciphertext with its tag. What it belongs to is authenticated with it, so a
row that was copied to another name, environment or server is not accepted.
"""

import hashlib
import os
from collections.abc import Callable
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ironflow.features.secrets.contract import MasterKeyMissing

KEY_BYTES = 32
NONCE_BYTES = 12


class MasterKey(NamedTuple):
    """fingerprint: names the key without giving it away."""

    key: bytes
    fingerprint: str

    def __repr__(self) -> str:
        return f"MasterKey({self.fingerprint})"


def master_key(key: bytes) -> MasterKey:
    """The master key with these 32 bytes."""
    return MasterKey(key, hashlib.sha256(b"ironflow master key\0" + key).hexdigest()[:16])


def seal(key: bytes, content: bytes, belongs_to: str, chance: Callable[[int], bytes] = os.urandom) -> bytes:
    """The content, encrypted. belongs_to: what has to be given to open it again."""
    nonce = chance(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, belongs_to.encode())


def opened(key: bytes, sealed: bytes, belongs_to: str) -> bytes:
    """Raises MasterKeyMissing when the row was changed, or sealed with another key."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], belongs_to.encode())
    except (InvalidTag, ValueError):
        raise MasterKeyMissing(
            f"{belongs_to} cannot be decrypted: its row was changed, or its key is another."
        ) from None


def of_data_key(environment: str, number: int) -> str:
    return f"data key {number} of environment {environment}"


def of_secret(environment: str, name: str) -> str:
    return f"secret {name} of environment {environment}"

"""The operator's master keys: from a setting, a file or a command, or with --dev from a file that the server makes.

The first key encrypts; the others, from before a rotation, decrypt only.
"""

import logging
import os
import re
import subprocess
from pathlib import Path

from ironflow.base.errors import IronflowError
from ironflow.base.settings import Settings
from ironflow.features.secrets.contract import MasterKeyMissing
from ironflow.features.secrets.encryption import KEY_BYTES, MasterKey, master_key

logger = logging.getLogger(__name__)

COMMAND_S = 30
MISSING = (
    "The server has no master key, and stores no secret without one. Start it with "
    "IRONFLOW_MASTER_KEY=$(openssl rand -hex 32), and keep that key: without it the secrets are lost."
)


class InvalidMasterKey(IronflowError):
    """A master key is 64 hexadecimal digits, and comes from one of master_key, master_key_file, master_key_command."""

    code = "INVALID_MASTER_KEY"
    exit_code = 78


class MasterKeys:
    """The keys as they were read last. repr shows no key."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys: tuple[MasterKey, ...] = ()

    def __repr__(self) -> str:
        return f"MasterKeys({', '.join(each.fingerprint for each in self._keys)})"

    def read(self) -> None:
        """Reads the keys again; a command may take seconds. Raises InvalidMasterKey, and then the old ones stay."""
        self._keys = tuple(master_key(bytes.fromhex(each)) for each in _texts(self._settings))

    def current(self) -> MasterKey:
        """The key that encrypts; with --dev it is made when it is needed first. Raises MasterKeyMissing."""
        if not self._keys and self._settings.dev and not _sources(self._settings):
            _make(self._settings.dev_master_key_file)
            self.read()
        if not self._keys:
            raise MasterKeyMissing(MISSING)
        return self._keys[0]

    def current_if_any(self) -> MasterKey:
        """As `current`, but none is made. Raises MasterKeyMissing."""
        if not self._keys:
            raise MasterKeyMissing(MISSING)
        return self._keys[0]

    def find(self, fingerprint: str) -> MasterKey:
        """Raises MasterKeyMissing, which names the key that is wanted."""
        for each in self._keys:
            if each.fingerprint == fingerprint:
                return each
        if not self._keys:
            raise MasterKeyMissing(MISSING)
        have = ", ".join(each.fingerprint for each in self._keys)
        raise MasterKeyMissing(
            f"The secrets are encrypted with master key {fingerprint}, and the server has {have}. "
            "Give it that key too, after the new one, and run `ironflow secret rekey`."
        )


def _sources(settings: Settings) -> list[str]:
    names = ("master_key", "master_key_file", "master_key_command")
    return [name for name in names if getattr(settings, name)]


def _texts(settings: Settings) -> list[str]:
    """The keys as hexadecimal digits. Raises InvalidMasterKey, whose text shows none."""
    sources = _sources(settings)
    if len(sources) > 1:
        raise InvalidMasterKey(f"Master keys come from one place; {' and '.join(sources)} are set.")
    if sources == ["master_key"]:
        text, source = settings.master_key, "IRONFLOW_MASTER_KEY"
    elif sources == ["master_key_file"]:
        text, source = _content(Path(settings.master_key_file)), settings.master_key_file
    elif sources:
        text, source = _output(settings.master_key_command), "the command of master_key_command"
    elif settings.dev and settings.dev_master_key_file.exists():
        text, source = _content(settings.dev_master_key_file), str(settings.dev_master_key_file)
    else:
        return []
    keys = [each for each in re.split(r"[\s,]+", text) if each]
    if not keys or any(not re.fullmatch(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}", each) for each in keys):
        raise InvalidMasterKey(
            f"What {source} gives is no master key: write 64 hexadecimal digits, as `openssl rand -hex 32` does; "
            "of several keys the newest first, separated by spaces or lines."
        )
    return keys


def _content(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is not text"
        raise InvalidMasterKey(f"The master key cannot be read from {file}: {reason}.") from None


def _output(command: str) -> str:
    try:
        # The operator's own setting, as a shell line: it may use pipes.
        ran = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except subprocess.TimeoutExpired:
        raise InvalidMasterKey(f"master_key_command took longer than {COMMAND_S} s.") from None
    if ran.returncode:
        raise InvalidMasterKey(f"master_key_command ended with status {ran.returncode}.")
    return ran.stdout


def _make(file: Path) -> None:
    """Writes a new key that only the owner can read, unless the file is there."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return
    except OSError as fault:
        raise MasterKeyMissing(f"The master key cannot be written to {file}: {fault.strerror}.") from None
    with os.fdopen(descriptor, "w") as out:
        out.write(os.urandom(KEY_BYTES).hex() + "\n")
        out.flush()
        os.fsync(descriptor)
    logger.warning("master key made for development", extra={"file": str(file)})

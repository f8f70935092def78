"""What is decided about config documents; pure. Source: behaviour.md 12, protocol/rest.md 8."""

import re

import msgspec

from ironflow.base.json import Json, check_payload, read_json, write_json
from ironflow.features.config.contract import InvalidConfig

DOCUMENT_BYTES_MAX = 1024 * 1024

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def check_name(name: str) -> None:
    """Raises InvalidConfig."""
    if not _NAME.fullmatch(name):
        raise InvalidConfig(
            f"{name[:60]!r} is no name of a document: write 1 to 128 letters, digits, `_`, `-`, `.` or `:`."
        )


def document(data: Json) -> bytes:
    """A document as it is stored: the text as sent. Raises InvalidConfig, InvalidJson, PayloadTooLarge."""
    text = bytes(check_payload(data, "The document", DOCUMENT_BYTES_MAX))
    if not isinstance(read_json(text), dict):
        raise InvalidConfig('A config document is a JSON object, such as {"limit": 5}.')
    return text


def merged(before: bytes | None, patch: bytes) -> bytes:
    """`before` with the members of `patch` in place of its own of the same names.

    Members are replaced whole, null included, and each keeps its text as sent. Raises PayloadTooLarge.
    Source: behaviour.md 12, "patch = shallow merge".
    """
    members: dict[str, msgspec.Raw] = _members(before) if before is not None else {}
    members.update(_members(patch))
    text = write_json(members)
    check_payload(msgspec.Raw(text), "The merged document", DOCUMENT_BYTES_MAX)
    return text


def _members(text: bytes) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(text, type=dict[str, msgspec.Raw])

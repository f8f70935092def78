"""What other features do with messages inside their own transactions."""

from ironflow.features.messages.rules import message_text
from ironflow.features.messages.store import replace_payloads, take

__all__ = ["message_text", "replace_payloads", "take"]

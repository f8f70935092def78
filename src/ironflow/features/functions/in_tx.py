"""What other rooms read of functions inside their own transactions."""

from ironflow.features.functions.store import Retention, code_hash, retentions

__all__ = ["Retention", "code_hash", "retentions"]

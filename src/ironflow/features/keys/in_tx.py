"""What other features do with keys inside their own transactions."""

from ironflow.features.keys.rules import Claim, decide_claim, held_text
from ironflow.features.keys.store import RunKey, free, holder, move, run_id_of, run_ids_of, take, take_again

__all__ = [
    "Claim",
    "RunKey",
    "decide_claim",
    "free",
    "held_text",
    "holder",
    "move",
    "run_id_of",
    "run_ids_of",
    "take",
    "take_again",
]

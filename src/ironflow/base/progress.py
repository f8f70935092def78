"""The progress of work whose amount is known."""


def share(done: int, total: int) -> float:
    """The share that is done, 0 to 1; 1 when there is nothing to do."""
    return min(done / total, 1.0) if total else 1.0


def remaining_ms(elapsed_ms: int, done: int, total: int) -> int | None:
    """The remaining time at the speed so far; None before anything is done."""
    return elapsed_ms * max(total - done, 0) // done if done > 0 else None

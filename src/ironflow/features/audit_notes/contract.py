"""What can be asked of the chain of audit notes. The notes themselves are read through `audit.list`."""

from ironflow.base.fields import Message
from ironflow.base.operation import operation


class Verify(Message, kw_only=True):
    """No fields."""


class Verified(Message, kw_only=True):
    """first, last: positions of the notes that are there, 0 without any. notes: how many.

    valid: every hash follows from the one before, from the anchor or the beginning on up to the head.
    broken_at: the position of the first note that does not, and why. anchor: where notes were removed by retention:
    `none`, `signed`, `unsigned` (there is no master key) or `unknown` (signed with a master key that is not there).
    """

    valid: bool
    notes: int
    first: int = 0
    last: int = 0
    anchor: str = "none"
    broken_at: int | None = None
    reason: str | None = None


verify = operation(
    "audit_notes.verify", Verify, Verified,
    rest="GET /api/v1/audit/verify", spelling="both", scope="audit:verify",
    doc="Whether the chain of audit notes is whole: none was changed, removed or put in between.",
)  # fmt: skip

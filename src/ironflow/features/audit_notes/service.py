"""What happens: verifying the chain, and counting refusals."""

from typing import Any, Protocol

from ironflow.base.call import Call, Credentials
from ironflow.base.errors import IronflowError, PermissionDenied
from ironflow.base.time import Clock
from ironflow.features.audit_notes import contract, rules, store
from ironflow.features.audit_notes.rules import Broken, Head, Note, Refusal
from ironflow.storage.port import Database

# Notes that are verified in one transaction.
PAGE = 1_000
# Different refusals of a minute that a node counts; further ones are counted together.
REFUSALS_MAX = 1_000
OTHERS = "(others)"


class Signer(Protocol):
    """Signs with a key that is not in the database."""

    def signature(self, text: str) -> str:
        """Empty when there is no key."""
        ...

    def is_signature(self, text: str, signature: str) -> bool | None:
        """None when the key is not there."""
        ...


class Chain:
    """Verifies the chain of audit notes."""

    def __init__(self, db: Database, signer: Signer) -> None:
        self._db, self._signer = db, signer

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {contract.verify: self.verify}

    async def verify(self, call: Call, request: contract.Verify) -> contract.Verified:
        if call.principal.environment is not None:
            raise PermissionDenied("The notes of all environments are one chain. Use a key for all environments.")
        # Notes that are added meanwhile are beyond this head.
        head = await self._db.read(store.head)
        anchor, broken = self._anchor(head)
        position, before, notes, first = head.anchor_position, head.anchor_hash, 0, 0
        while broken is None:
            page = await self._db.read(lambda tx, position=position: store.after(tx, position, PAGE))
            page = [note for note in page if note.position <= head.position]
            broken = rules.first_broken(position, before, page)
            notes += len(page)
            first = first or (page[0].position if page else 0)
            if not page:
                broken = broken or _end(head, position, before)
                break
            position, before = page[-1].position, page[-1].hash
        return contract.Verified(
            valid=broken is None,
            notes=notes,
            first=first,
            last=position if notes else 0,
            anchor=anchor,
            broken_at=broken.position if broken else None,
            reason=broken.reason if broken else None,
        )

    def _anchor(self, head: Head) -> tuple[str, Broken | None]:
        if not head.anchor_position:
            return "none", None
        if not head.anchor_signature:
            return "unsigned", None
        text = rules.anchor_text(head.anchor_position, head.anchor_hash)
        match self._signer.is_signature(text, head.anchor_signature):
            case None:
                return "unknown", None
            case True:
                return "signed", None
            case False:
                return "signed", Broken(head.anchor_position, "the signature of the anchor is wrong")


def _end(head: Head, position: int, before: str) -> Broken | None:
    """What is wrong with a chain that ends with this position and hash."""
    if position < head.position:
        return Broken(position + 1, f"notes {position + 1} to {head.position} are not there")
    return None if before == head.hash else Broken(position, "the last note is not that of the head")


class Refusals:
    """Counts refusals; the loop writes the counts. Equal refusals of one minute are one note."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[Refusal, int] = {}

    def count(self, action: str, call: Call | None, credentials: Credentials | None, error: IronflowError) -> None:
        """One refusal. action: the operation or socket, or the scope where it was not known yet."""
        minute = self._clock.now() // rules.MINUTE_MS * rules.MINUTE_MS
        address = call.remote_address if call is not None else credentials.remote_address if credentials else ""
        environment = call.environment if call is not None else ""
        actor = call.principal.name if call is not None else ""
        refusal = Refusal(minute, environment, actor, action, error.code, address)
        if refusal not in self._counts and len(self._counts) >= REFUSALS_MAX:
            refusal = Refusal(minute, "", OTHERS, OTHERS, error.code, OTHERS)
        self._counts[refusal] = self._counts.get(refusal, 0) + 1

    def take(self) -> dict[Refusal, int]:
        """The counts since this was called before."""
        counts, self._counts = self._counts, {}
        return counts

    def put_back(self, counts: dict[Refusal, int]) -> None:
        """Counts that could not be written."""
        for refusal, number in counts.items():
            self._counts[refusal] = self._counts.get(refusal, 0) + number


def removed(head: Head, last: Note, signer: Signer) -> Head:
    """The head with the anchor at `last`, the last note that is removed."""
    signature = signer.signature(rules.anchor_text(last.position, last.hash))
    return head._replace(anchor_position=last.position, anchor_hash=last.hash, anchor_signature=signature)

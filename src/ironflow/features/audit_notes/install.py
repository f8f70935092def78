"""Puts the feature into a server."""

from ironflow.features.audit_notes.loops import NoteRefusals, PurgeNotes
from ironflow.features.audit_notes.service import Chain, Refusals, Signer
from ironflow.features.parts import Parts


def install(parts: Parts, signer: Signer) -> None:
    refusals = parts.provide(Refusals(parts.clock))
    parts.bind(Chain(parts.db, signer).handlers())
    parts.loops += [
        NoteRefusals(parts.db, refusals),
        PurgeNotes(parts.db, parts.settings.audit_retention_days, signer),
    ]

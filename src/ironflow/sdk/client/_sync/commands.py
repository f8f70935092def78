# Generated from ironflow/sdk/client/commands.py by generate_sync; edit that file.
"""`client.commands(...)`: a command that is sent twice is carried out once, by the first client that claims it."""

import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import AlreadyExists, NotFound, PreconditionFailed
from ironflow.sdk.client.connection.hooks import expecting
from ironflow.sdk.client._sync.kv import Kv, KvBucket
from ironflow.sdk.client.views.commands import Claim, CommandInProgress, Kept, read_kept
from ironflow.sdk.values.payload import to_payload


class Commands:
    """Commands by id, kept in a bucket of their own.

        commands = client.commands()
        receipt = await commands.run_once(f"charge-{order_id}", lambda: charge(order))

    A command is claimed by creating its key, so exactly one client wins. The winner carries it out and
    finalizes the claim with a result, or releases it; the others get the result.
    """

    def __init__(
        self,
        kv: Kv,
        bucket: str,
        ttl: Duration,
        lease: Duration,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._kv = kv
        self._bucket = bucket
        self._ttl = ttl
        self._lease_s = duration_ms(lease) / 1000
        self._now = now
        self._ready: KvBucket | None = None

    def claim(self, command_id: str) -> Claim:
        """Claims a command, or returns its result. Raises CommandInProgress, CommandCorrupt, InvalidKey."""
        bucket = self._made()
        ours = Kept(state="claimed", claim=secrets.token_hex(8))
        text = msgspec.json.encode(ours)
        try:
            with expecting(PreconditionFailed):
                revision = bucket.create(command_id, text)
            return Claim(command_id=command_id, won=True, token=ours.claim, revision=revision)
        except PreconditionFailed:
            pass
        try:
            with expecting(NotFound):
                entry = bucket.get(command_id)
        except NotFound:
            # Released or expired between the two calls.
            raise CommandInProgress(f"Command {command_id!r} was given up this moment. Claim it again.") from None
        kept = read_kept(command_id, entry)
        if kept.state == "done":
            return Claim(command_id=command_id, won=False, result=msgspec.json.decode(kept.result))
        if self._now() - entry.created_at.timestamp() < self._lease_s:
            raise CommandInProgress(f"Command {command_id!r} is being carried out by another client. Try again later.")
        try:
            # The lease of the claim has ended: the first client that updates the key takes over.
            with expecting(PreconditionFailed):
                revision = bucket.update(command_id, text, entry.revision)
        except PreconditionFailed:
            raise CommandInProgress(f"Command {command_id!r} was just taken over by another client.") from None
        return Claim(command_id=command_id, won=True, token=ours.claim, revision=revision)

    def finalize(self, claim: Claim, result: Any = None) -> None:
        """Records the result; from then on the command is done. result: any JSON.

        Raises PreconditionFailed when the claim was taken over meanwhile, SerializationError.
        """
        payload = to_payload(result, f"the result of command {claim.command_id!r}")
        done = msgspec.json.encode(Kept(state="done", claim=claim.token, result=payload))
        (self._made()).update(claim.command_id, done, claim.revision)

    def release(self, claim: Claim) -> None:
        """Gives a claim back, so that the command can be tried again. A claim that was taken over is left alone."""
        try:
            bucket = self._made()
            with expecting(PreconditionFailed):
                bucket.delete(claim.command_id, revision=claim.revision)
        except PreconditionFailed:
            return

    def run_once(self, command_id: str, carry_out: Callable[[], Any]) -> Any:
        """Carries the command out unless it was done before; its result either way.

        An error of `carry_out` gives the claim back and is raised. Killed in between, the claim ends with its lease and
        the command is carried out again: make it idempotent, as every at-least-once body.
        Raises CommandInProgress, CommandCorrupt.
        """
        claim = self.claim(command_id)
        if not claim.won:
            return claim.result
        carried_out = False
        try:
            result = carry_out()
            carried_out = True
        finally:
            if not carried_out:
                self.release(claim)
        self.finalize(claim, result)
        return result

    def _made(self) -> KvBucket:
        if self._ready is None:
            try:
                with expecting(AlreadyExists):
                    self._ready = self._kv.create_bucket(self._bucket, ttl=self._ttl, description="Commands by id")
            except AlreadyExists:
                self._ready = self._kv.bucket(self._bucket)
        return self._ready

"""`ctx.step.receive`: the messages that are sent to the run, in order, each taken once."""

from typing import Any, Literal, overload

from ironflow.base.duration import Duration, duration_ms
from ironflow.base.errors import Aborted, AlreadyExists, IronflowError, Unimplemented, ValidationError, WaitTimeoutError
from ironflow.base.message_waits import awaited_name
from ironflow.sdk.durable.job.report import EventFilter, WaitForEvent
from ironflow.sdk.durable.steps.awaiting import noting_calls
from ironflow.sdk.durable.steps.messages import Message, message_of
from ironflow.sdk.durable.steps.replay import Replay
from ironflow.sdk.durable.steps.signals import Stopped
from ironflow.sdk.durable.steps.step_runner import check_shows_no_secret
from ironflow.sdk.values.payload import NOTHING, Raw, from_payload, to_payload

RECEIVE_DEFAULT = "7d"


@noting_calls
class ReceivingSteps:
    """The part of Steps that receives messages."""

    __slots__ = ()

    _replay: Replay

    def _next_id(self, name: str) -> str:
        raise NotImplementedError

    @overload
    async def receive(
        self, name: str, *, timeout: Duration = RECEIVE_DEFAULT, on_timeout: Literal["raise"] = "raise"
    ) -> Message: ...

    @overload
    async def receive(
        self, name: str, *, timeout: Duration = RECEIVE_DEFAULT, on_timeout: Literal["raise"] | None
    ) -> Message | None: ...

    async def receive(
        self, name: str, *, timeout: Duration = RECEIVE_DEFAULT, on_timeout: Literal["raise"] | None = "raise"
    ) -> Message | None:
        """The next message called `name` that was sent to this run, whenever it came; waits for one if there is none.

        on_timeout: None to get None when none comes within `timeout`.
        Raises WaitTimeoutError when none comes, ValidationError, InvalidDuration.
        """
        step_id = self._next_id(name)
        if name != name.strip() or any(each.isspace() for each in name) or len(name) > 128:
            raise ValidationError(f"a message is called {name!r}; write 1 to 128 characters without spaces.")
        timeout_ms = duration_ms(timeout)
        memo = self._replay.ended(step_id, "wait_for_event")
        if memo is not None and memo.timed_out:
            if on_timeout is None:
                return None
            late = WaitTimeoutError(f"No message {name!r} came in time.", step_id=step_id, step_name=name, event=name)
            self._replay.runner.raises(late, step_id)
            raise late
        if memo is not None and memo.output != NOTHING:
            return message_of(memo.output, self._answer)
        if not self._replay.many_waits:
            raise Unimplemented(f"step {name!r}: this server, or the plain protocol, has no messages.")
        began_at = self._replay.now()
        taken = await self._taken(step_id, name, timeout_ms)
        if taken is not None:
            return message_of(taken, self._answer)
        # The time-out counts from the call.
        passed_ms = max(self._replay.now() - began_at, 0)
        left_ms = max(timeout_ms - passed_ms, 0)
        waited = EventFilter(event=awaited_name(name), timeout=f"{left_ms}ms")
        raise self._replay.wait(WaitForEvent(step_id=step_id, step_name=name, event_filter=waited))

    async def _taken(self, step_id: str, name: str, timeout_ms: int) -> Raw | None:
        """A message that is taken while the execution goes on, recorded by the server; None to wait for one."""
        inbox = self._replay.inbox
        if inbox is None or self._replay.job.compensating is not None or not self._replay.has_time:
            return None
        try:
            unfinished = self._replay.runner.unfinished
            taken = await inbox.take(self._replay.job, step_id, name, name, unfinished, timeout_ms)
        except (Aborted, AlreadyExists):
            # The lease is lost.
            raise Stopped from None
        except IronflowError:
            # The report of the wait takes the message; what the request recorded is found again by the step's id.
            return None
        if taken is None:
            return None
        self._replay.runner.ended_there(step_id, taken.ended_at)
        codec = self._replay.runner.codec
        return taken.message if codec is None else codec.decoded(taken.message)

    async def _answer(self, message_id: str, name: str, refused: bool, value: Any) -> bool:
        step_name = f"reply:{name}"
        step_id = self._next_id(step_name)
        memo = self._replay.result(step_id, step_name)
        if memo is not None:
            return bool(from_payload(memo.output))
        self._replay.check_running()
        what = f"the answer to message {name!r}"
        plain = to_payload(value, what)
        check_shows_no_secret(plain, what, self._replay.runner.secret_texts)
        payload = self._replay.runner.encoded(plain)
        inbox = self._replay.inbox
        if inbox is None:
            raise Unimplemented(f"message {name!r} cannot be answered from here: this handler has no server.")
        job, runner = self._replay.job, self._replay.runner
        try:
            answered = await self._replay.repeated(
                lambda: inbox.answer(job, step_id, step_name, message_id, refused, payload, runner.unfinished)
            )
        except (Aborted, AlreadyExists):
            raise Stopped from None
        runner.ended_there(step_id, answered.ended_at)
        return answered.counted

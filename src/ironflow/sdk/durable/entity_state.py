"""`ctx.state`: the state of an entity while one of its handlers runs. Source: docs/guides/entities.md.

It is looked at when the handler asks for a step and when it returns; what it has become by then goes with the report
that records that step, or the end. So what an attempt changes after its last step is written only when it completes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ironflow.base.errors import IronflowError, NonRetryableError, ValidationError
from ironflow.features.entities.contract import EntityStateReadOnly
from ironflow.sdk.definition.function import StateShape
from ironflow.sdk.durable.job.assignment import JobEntity
from ironflow.sdk.durable.job.report import ChangedState
from ironflow.sdk.durable.steps.step_runner import check_shows_no_secret
from ironflow.sdk.values.payload import is_redacted, to_payload


class EntityRef(NamedTuple):
    """The entity of a handler."""

    name: str
    key: str


class NoEntity(NonRetryableError):
    """The function is no handler of an entity, or its server keeps no states."""

    code = "NO_ENTITY"


class EntityState:
    """The state in one execution.

    reached: how many rows of steps there are at this moment. check_outside: raises within the body of a step.
    past_record: whether the handler is past all that earlier executions have recorded.
    A change is only sent with all steps that had ended before it.
    """

    def __init__(
        self,
        entity: JobEntity | None,
        shape: StateShape | None,
        reached: Callable[[], int] = lambda: 0,
        check_outside: Callable[[str], None] = lambda _: None,
        secret_texts: tuple[str, ...] = (),
        past_record: Callable[[], bool] = lambda: False,
    ) -> None:
        self._entity = entity
        self._shape = shape
        self._reached = reached
        self._check_outside = check_outside
        self._secret_texts = secret_texts
        self._past_record = past_record
        self._is_loaded = False
        self._value: Any = None
        self._text = b""
        self._number = 0
        self._newest: tuple[int, ChangedState] | None = None
        self._refusal: IronflowError | None = None

    @property
    def entity(self) -> EntityRef | None:
        return None if self._entity is None else EntityRef(self._entity.entity, self._entity.key)

    @property
    def value(self) -> Any:
        """Raises NoEntity, ValidationError for a state that is not of its type or was redacted."""
        if not self._is_loaded:
            self._load(*self._given())
        return self._value

    def set(self, value: Any) -> None:
        """Raises NoEntity, EntityStateReadOnly, StepWithinStep, ValidationError."""
        entity, _ = self._given()
        if entity.read_only:
            raise EntityStateReadOnly(f"ctx.state: a reader of {entity.entity!r} may not set it.")
        self._check_outside("ctx.state")
        _ = self.value
        self._value = value

    def look(self, *, ended: bool = False) -> None:
        """Notes what the state has become. Raises SerializationError, SecretInOutput, EntityStateReadOnly.

        Also what the server has refused an earlier state with. ended: the handler has returned.
        """
        if self._refusal is not None:
            raise self._refusal
        if not self._is_loaded or self._entity is None:
            return
        what = f"the state of entity {self._entity.entity!r}"
        payload = to_payload(self._value, what)
        known = self._entity.number
        # Earlier code has made more changes up to here: what follows is new, and what this code has made counts.
        fewer = self._number < known and (ended or self._past_record())
        if bytes(payload) == self._text and not (fewer and self._number):
            return
        if self._entity.read_only:
            raise EntityStateReadOnly(f"ctx.state: a reader of {self._entity.entity!r} has changed it.")
        check_shows_no_secret(payload, what, self._secret_texts)
        self._text = bytes(payload)
        # The same number in every replay: an older state never takes the place of a newer one.
        self._number = (known if fewer else self._number) + 1
        self._newest = (self._reached(), ChangedState(state=payload, number=self._number))

    def unsent(self, sent: int, rows: int) -> ChangedState | None:
        """The change with a number above `sent`, if it was made when at most `rows` steps had ended."""
        if self._newest is None or self._newest[1].number <= sent or self._newest[0] > rows:
            return None
        return self._newest[1]

    def refused(self, fault: IronflowError) -> None:
        """The server takes no such state: it is not sent again, and the handler fails at its next step."""
        self._newest = None
        fault.retryable = False
        self._refusal = fault

    def _given(self) -> tuple[JobEntity, StateShape]:
        if self._entity is None or self._shape is None:
            raise NoEntity(
                "ctx.state: this function is no handler of an entity, or its server keeps no states. Make it one with "
                "@entity(...).on(...)."
            )
        return self._entity, self._shape

    def _load(self, entity: JobEntity, shape: StateShape) -> None:
        if entity.is_new:
            self._value = shape.begin()
        elif is_redacted(entity.state):
            raise ValidationError(
                f"the state of {entity.entity} {entity.key!r} was redacted; nothing of it can be read."
            )
        else:
            self._value = shape.read(entity.state)
        self._is_loaded = True
        self._text = bytes(to_payload(self._value, f"the state of entity {entity.entity!r}"))

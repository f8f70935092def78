"""What a handler is given: the event, the run, its secrets, a logger, and the steps."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from ironflow.base.errors import NonRetryableError
from ironflow.sdk.event import Event
from ironflow.sdk.steps import Steps

logger = logging.getLogger("ironflow.function")


class SecretMissing(NonRetryableError):
    """The function was given no secret of that name. Store it, and name it in the function's secrets=."""

    code = "SECRET_MISSING"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """attempt: from 1, within max_attempts (0: the server did not say). started_at: when this execution began here."""

    id: str
    function_id: str
    attempt: int
    max_attempts: int
    on_exhausted: str
    started_at: datetime
    environment: str


class Secrets:
    """The secrets that the function declared. Their repr says names, never values."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def get(self, name: str) -> str:
        """Raises SecretMissing."""
        if name not in self._values:
            raise SecretMissing(
                f"secret {name!r} was not given to this function. Is it stored here, and named in its secrets=?"
            )
        return self._values[name]

    def has(self, name: str) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"<Secrets {', '.join(f'{name}=***' for name in self._values)}>"


@dataclass(eq=False)
class Context:
    """The handler's first parameter."""

    event: Event
    step: Steps
    run: RunInfo
    secrets: Secrets = field(default_factory=lambda: Secrets({}))

    @cached_property
    def logger(self) -> "logging.LoggerAdapter[logging.Logger]":
        """A logger whose lines carry run_id, function_id and attempt."""
        fields = {"run_id": self.run.id, "function_id": self.run.function_id, "attempt": self.run.attempt}
        return logging.LoggerAdapter(logger, fields)

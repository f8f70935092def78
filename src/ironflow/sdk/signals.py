"""What the SDK raises through user code to leave a handler.

Not Exceptions, so that `except Exception` lets them pass.
"""

import asyncio

from ironflow.sdk.report import YieldedStep


class Yield(BaseException):
    """The run waits for something that takes no worker; the handler starts over when it has come."""

    def __init__(self, step: YieldedStep) -> None:
        super().__init__(f"waiting in step {step.step_name!r}")
        self.step = step


class Stopped(asyncio.CancelledError):
    """This execution is over: its handler has ended, or its lease is lost. Nothing more is run for it."""


def first_yield(group: BaseExceptionGroup[BaseException]) -> Yield | None:
    """The first wait among exceptions that were raised together, at whatever depth."""
    for each in group.exceptions:
        found = first_yield(each) if isinstance(each, BaseExceptionGroup) else each
        if isinstance(found, Yield):
            return found
    return None

"""Who asks, from where and when: what a handler knows of a request besides its fields."""

from collections.abc import Callable
from dataclasses import dataclass

from ironflow.base.time import Millis


@dataclass(frozen=True, slots=True)
class Principal:
    """The asker. name: what audit and `emitted_by` record, such as `key:apikey_…`; empty when auth is off."""

    name: str = ""
    environment: str | None = None


ANYONE = Principal()


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    now: when it arrived, in milliseconds; handlers use it instead of a clock.
    run_id: the run inside which the caller works (X-Ironflow-Run-ID), empty otherwise.
    runtime: the caller's X-Ironflow-SDK, empty when it does not say.
    is_there: whether the caller is still connected; for answers that are held back.
    """

    environment: str
    now: Millis
    principal: Principal = ANYONE
    run_id: str = ""
    runtime: str = ""
    is_there: Callable[[], bool] = lambda: True

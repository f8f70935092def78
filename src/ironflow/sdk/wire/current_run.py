"""The run inside which code is executing, known to clients that the code uses."""

from contextvars import ContextVar

run_id: ContextVar[str] = ContextVar("ironflow_run_id", default="")
"""Id of the run, empty outside handlers and steps."""

"""A line in the log for each run that has grown long, at the step that makes it so."""

import logging

from ironflow.base.notice import Notices
from ironflow.features.runs.notices import LongRuns
from ironflow.features.runs.rules import advice

logger = logging.getLogger(__name__)


def log_long_runs(notices: Notices) -> None:
    """A listener of what transactions publish."""
    if not isinstance(notices, LongRuns):
        return
    for run in notices.runs:
        fields = {"run_id": run.id, "function_id": run.function_id, "steps": run.step_count, "advice": advice(run)}
        logger.warning("run has many steps", extra=fields)

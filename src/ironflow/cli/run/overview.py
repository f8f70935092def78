"""Views of runs: a table of many, a page of one."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from ironflow.base.time import Millis, to_millis
from ironflow.cli.run.timeline import FINE, Signs, timeline, waiting_text
from ironflow.cli.terminal.output import FittedTable, facts, failure_text, json_line, status_style
from ironflow.cli.terminal.times import moment_text, since_text, span_text
from ironflow.features.controls.contract import Why
from ironflow.features.runs.contract import Run, RunStatus, Step

_PAYLOAD_SHOWN_MAX = 240
# Reasons that add information to the run's own fields.
_REASONS_SHOWN = (
    "breaker_open",
    "endpoint_busy",
    "no_worker",
    "no_labels",
    "no_version",
    "no_free_worker",
    "actor",
    "no_slot",
    "throttle",
    "paused",
    "exhausted",
    "diverged",
)
_WAIT_SHOWN_MS = 100


def runs_table(found: list[Run], now: Millis, reasons: Mapping[str, str] | None = None) -> RenderableType:
    """Runs as rows. A narrow terminal shows no event, then no attempt, then no duration.

    reasons: by run id, why pending runs wait, as `Why.reason`.
    """
    given = reasons or {}
    return FittedTable(
        ["STATUS", "RUN", "FUNCTION", "EVENT", "ATTEMPT", "CREATED", "TOOK"],
        [
            [
                run_status(each, given.get(each.id, "")),
                each.id,
                each.function_id,
                each.event_name or each.event_id,
                f"{each.attempt}/{each.max_attempts}",
                since_text(each.created_at, now),
                run_took(each, now),
            ]
            for each in found
        ],
        optional=["EVENT", "ATTEMPT", "TOOK"],
        right=["ATTEMPT", "TOOK"],
        # An id is copied into other commands.
        whole=["STATUS", "RUN", "CREATED", "TOOK"],
    )


def run_page(
    run: Run,
    steps: list[Step],
    now: Millis,
    *,
    full: bool = False,
    signs: Signs = FINE,
    why: Why | None = None,
    children: Sequence[Run] = (),
) -> RenderableType:
    """A run on one page. full: complete payloads. why: the server's explanation of a run that has not ended."""
    shown_max = None if full else _PAYLOAD_SHOWN_MAX
    parts: list[RenderableType] = [
        facts(
            [
                ("run", run.id),
                ("status", run_status(run)),
                ("waits for", Text(waiting_text(run, steps, now), style="yellow")),
                ("why", why.message if why is not None and why.reason in _REASONS_SHOWN else None),
                ("function", f"{run.function_id}  version {run.function_version}"),
                ("event", f"{run.event_name}  {run.event_id}" if run.event_name else run.event_id),
                ("key", run.key),
                ("restarted from", run.restarted_from),
                ("restarted as", run.restarted_as),
                ("chain", f"link {run.link} since {run.first_run_id}" if run.link is not None else None),
                ("parent", f"{run.parent_run_id}  step {run.parent_step_id}" if run.parent_run_id else None),
                ("children", _children(children)),
                ("attempt", f"{run.attempt} of {run.max_attempts}"),
                ("worker", run.worker_id),
                ("created", moment_text(run.created_at, now)),
                ("took" if run.ended_at else "so far", run_took(run, now) + _waited(run)),
                ("not asked for", _unasked(run)),
                ("advice", Text(run.advice, style="yellow") if run.advice else None),
                ("cancelling", _cancelling(run, now)),
                ("cancelled", run.cancellation_cause),
                ("error", _error_text(run)),
                ("input", json_line(run.input, shown_max)),
                ("output", json_line(run.output, shown_max)),
                *((f"value {name}", json_line(value, shown_max)) for name, value in sorted((run.values or {}).items())),
            ]
        )
    ]
    if steps:
        parts += [Text(), timeline(run, steps, now, signs)]
    if run.error is not None and run.error.stack:
        parts += [Text(), Text(run.error.stack.rstrip(), style="dim")]
    return Group(*parts)


def run_status(run: Run, why: str = "") -> Text:
    """The status as in filters, with the reason: `paused (sleep)`. why: of a run that is not paused."""
    if run.state == "cancelling":
        return Text("cancelling", style=status_style(RunStatus.CANCELLED))
    reason = f" ({run.pause_reason or why})" if run.pause_reason or why else ""
    return Text(f"{run.status}{reason}", style=status_style(run.status))


def _cancelling(run: Run, now: Millis) -> str | None:
    """Of a run that is undone before it is cancelled."""
    asked = run.cancel_requested
    return None if asked is None else f"asked for {moment_text(asked.at, now)}: {asked.reason}"


def _children(children: Sequence[Run]) -> Text | None:
    """The runs that the steps of this run started, oldest first."""
    lines = [Text.assemble(f"{each.id}  {each.function_id}  ", run_status(each)) for each in reversed(children)]
    return Text("\n").join(lines) if lines else None


def _unasked(run: Run) -> Text | None:
    """Recorded steps that the handler has gone past: another was executed in their place, if they were renamed."""
    if not run.unasked_steps:
        return None
    return Text(f"recorded steps {', '.join(run.unasked_steps)}: the code has changed", style="yellow")


def _error_text(run: Run) -> Text | None:
    if run.error is None:
        return None
    return Text(failure_text(run.error), style="red")


def run_took(run: Run, now: Millis) -> str:
    if run.ended_at is not None:
        return span_text(to_millis(run.ended_at) - to_millis(run.started_at or run.created_at))
    return span_text(now - to_millis(run.started_at)) if run.started_at else ""


def _waited(run: Run) -> str:
    """The wait for a worker; empty below 100 ms."""
    waited_ms = to_millis(run.started_at) - to_millis(run.created_at) if run.started_at else 0
    return f", after {span_text(waited_ms)} of waiting for a worker" if waited_ms >= _WAIT_SHOWN_MS else ""

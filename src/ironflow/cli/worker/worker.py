"""`ironflow worker`: runs a worker without a main program."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import Cursor, Limit
from ironflow.cli.server.serve import LogFormat, LogLevel

app = App("worker")

Target = Annotated[str, Parameter(help="MODULE:FUNCTIONS, MODULE, FILE.py or FILE.py:FUNCTIONS.")]


@app.default
def worker(
    functions: Target,
    /,
    *,
    max_concurrent_jobs: int = 10,
    label: list[str] | None = None,
    code_version: str = "",
    stream: Annotated[bool, Parameter(negative="")] = False,
    reload: Annotated[bool, Parameter(negative="")] = False,
    log_level: Annotated[LogLevel, Parameter(env_var="IRONFLOW_LOG_LEVEL")] = "info",
    log_format: Annotated[LogFormat, Parameter(env_var="IRONFLOW_LOG_FORMAT")] = "text",
    show_runs: Annotated[bool, Parameter(negative="")] = False,
    strict: Annotated[bool, Parameter(negative="")] = False,
    cli: Injected,
) -> None:
    """Start a worker for your functions and projections.

    An UpcasterRegistry in the same module converts old events to their latest versions. Ctrl-C lets the worker finish
    its steps; a second Ctrl-C ends it at once.

    Args:
        max_concurrent_jobs: Maximum number of runs at a time.
        label: A label of the worker as NAME=VALUE. May be repeated.
        code_version: Version of the functions' code, such as a commit; a hash of each handler without it.
        stream: Use one HTTP/2 stream instead of polling: lower latency, and running steps are visible.
        reload: Restart when a Python file in the folder changes.
        log_level: The lowest level that is logged.
        log_format: Format of log lines.
        show_runs: Log a line for each run that starts and ends. Failures always have one.
        strict: Fail a run whose handler calls a step without await; otherwise the log names it once for each function.
    """
    labels = dict(_label(each) for each in label or [])
    if reload:
        from contextlib import suppress

        from ironflow.cli.exits import Interrupted
        from ironflow.cli.process import interruptible
        from ironflow.cli.worker.load import source_folder
        from ironflow.cli.worker.reload import run_reloading

        arguments = ["worker", functions, "--max-concurrent-jobs", str(max_concurrent_jobs)]
        arguments += [f"--label={each}" for each in label or []]
        arguments += ["--code-version", code_version] if code_version else []
        arguments += ["--stream"] if stream else []
        arguments += ["--log-level", log_level, "--log-format", log_format]
        arguments += ["--show-runs"] if show_runs else []
        arguments += ["--strict"] if strict else []
        with suppress(KeyboardInterrupt, Interrupted), interruptible():
            run_reloading(
                arguments,
                source_folder(functions),
                lambda text: cli.note(text, "dim"),
                environment=address_of(cli),
            )
        return

    from ironflow.base.logs import set_up_logs
    from ironflow.cli.terminal.tracebacks import show_users_frames
    from ironflow.cli.worker.load import load_served, load_upcasters
    from ironflow.cli.worker.tracing import set_up_tracing
    from ironflow.sdk.definition.function import FunctionDefinition
    from ironflow.sdk.projections.definition import ProjectionDefinition
    from ironflow.sdk.worker.streaming_worker import StreamingWorker
    from ironflow.sdk.worker.worker import Worker

    set_up_logs(log_level, log_format, each_run=show_runs)
    sys.excepthook = show_users_frames
    served = load_served(functions)
    set_up_tracing()
    kind = StreamingWorker if stream else Worker
    upcasters = load_upcasters(functions)
    kind(
        functions=[each for each in served if isinstance(each, FunctionDefinition)],
        projections=[each for each in served if isinstance(each, ProjectionDefinition)],
        upcasters=upcasters,
        url=cli.url,
        api_key=cli.key,
        environment=cli.environment,
        max_concurrent_jobs=max_concurrent_jobs,
        labels=labels,
        version=code_version,
        codec=cli.codec,
        strict=strict,
    ).run()


@app.command(name="list")
def list_(*, limit: Limit = 100, cursor: Cursor = "", cli: Injected) -> None:
    """List the workers that are alive, with their functions and labels."""
    from ironflow.cli.pages import note_more
    from ironflow.cli.terminal.output import table
    from ironflow.cli.terminal.times import since_text
    from ironflow.features.jobs import contract as jobs

    answer = cli.call(jobs.list_workers, jobs.ListWorkers(limit=limit, cursor=cursor))
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["WORKER", "HOST", "JOBS", "SEEN", "TRANSPORT", "LABELS", "FUNCTIONS"],
            (
                [
                    each.id,
                    each.hostname,
                    f"{each.active_jobs}/{each.max_concurrent}",
                    since_text(each.last_heartbeat, now),
                    each.transport,
                    ", ".join(f"{name}={value}" for name, value in each.labels.items()),
                    ", ".join(each.function_ids),
                ]
                for each in answer.workers
            ),
            right=["JOBS"],
            whole=["WORKER"],
        ),
    )
    if not answer.workers:
        cli.note("no workers are alive", "dim")
    note_more(cli, answer.next_cursor)


def address_of(cli: Cli) -> dict[str, str]:
    """The global options as environment variables of a child process."""
    given = {"IRONFLOW_SERVER_URL": cli.url, "IRONFLOW_API_KEY": cli.key, "IRONFLOW_ENV": cli.environment}
    given["IRONFLOW_CODEC"] = cli.codec_target or None
    return {name: value for name, value in given.items() if value is not None}


def _label(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not name or not equals:
        raise UsageError(f"{given!r} is not a label. Write NAME=VALUE.")
    return name, value

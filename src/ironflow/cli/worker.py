"""`ironflow worker`: serves functions without a main program."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Here
from ironflow.cli.serve import LogFormat, LogLevel

app = App("worker")

Target = Annotated[str, Parameter(help="MODULE:FUNCTIONS, MODULE, FILE.py or FILE.py:FUNCTIONS.")]


@app.default
def worker(
    functions: Target,
    /,
    *,
    max_concurrent_jobs: int = 10,
    label: list[str] | None = None,
    stream: Annotated[bool, Parameter(negative="")] = False,
    reload: Annotated[bool, Parameter(negative="")] = False,
    log_level: LogLevel = "info",
    log_format: LogFormat = "text",
    cli: Here,
) -> None:
    """Start a worker for functions and projections of yours.

    An UpcasterRegistry in the same module brings old events to their latest versions before they see them.

    Ctrl-C lets it finish what it does; a second one ends it at once.

    Args:
        max_concurrent_jobs: How many runs it works on at the same time.
        label: A label of the worker as NAME=VALUE. May be repeated.
        stream: Take jobs and report on one HTTP/2 stream: less delay, and steps can be seen while they run.
        reload: Restart when a Python file in the folder changes.
        log_level: The least important lines shown.
        log_format: Log lines as text or as JSON.
    """
    labels = dict(_label(each) for each in label or [])
    if reload:
        from ironflow.cli.load import source_folder
        from ironflow.cli.process import interruptible
        from ironflow.cli.reload import run_reloading

        words = ["worker", functions, "--max-concurrent-jobs", str(max_concurrent_jobs)]
        words += [f"--label={each}" for each in label or []]
        words += ["--stream"] if stream else []
        words += ["--log-level", log_level, "--log-format", log_format]
        with interruptible():
            run_reloading(
                words, source_folder(functions), lambda text: cli.say(text, "dim"), environment=address_of(cli)
            )
        return

    from ironflow.cli.load import load_served, load_upcasters
    from ironflow.cli.tracebacks import show_users_frames
    from ironflow.sdk.function import FunctionDefinition
    from ironflow.sdk.projection import ProjectionDefinition
    from ironflow.sdk.streaming_worker import StreamingWorker
    from ironflow.sdk.worker import Worker
    from ironflow.server.logs import set_up_logs

    set_up_logs(log_level, log_format)
    sys.excepthook = show_users_frames
    served = load_served(functions)
    kind = StreamingWorker if stream else Worker
    upcasters = load_upcasters(functions)
    kind(
        functions=[each for each in served if isinstance(each, FunctionDefinition)],
        projections=[each for each in served if isinstance(each, ProjectionDefinition)],
        upcasters=upcasters,
        url=cli.url,
        api_key=cli.api_key,
        environment=cli.environment,
        max_concurrent_jobs=max_concurrent_jobs,
        labels=labels,
    ).run()


def address_of(cli: Cli) -> dict[str, str]:
    """The global options as environment variables for a process started on the user's behalf."""
    given = {"IRONFLOW_SERVER_URL": cli.url, "IRONFLOW_API_KEY": cli.api_key, "IRONFLOW_ENV": cli.environment}
    return {name: value for name, value in given.items() if value is not None}


def _label(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not name or not equals:
        raise UsageError(f"{given!r} is not a label. Write NAME=VALUE.")
    return name, value

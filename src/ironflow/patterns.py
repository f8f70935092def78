"""Patterns of subscriptions, by the names that other SDKs give them: `client.subscribe(patterns.run("run_7"))`.

`*` stands for one part between dots, `>` at the end for one or more.
"""

__all__ = [
    "all_functions",
    "all_runs",
    "all_secrets",
    "all_topics",
    "all_user_events",
    "function",
    "run",
    "run_lifecycle",
    "run_steps",
    "secret",
    "secret_action",
    "topic",
    "user_event",
]


def all_runs() -> str:
    return "system.run.>"


def run(run_id: str) -> str:
    """All that happens to one run."""
    return f"system.run.{run_id}.>"


def run_lifecycle(run_id: str) -> str:
    """Its begin, its end and what is between, without its steps."""
    return f"system.run.{run_id}.*"


def run_steps(run_id: str) -> str:
    return f"system.run.{run_id}.step.>"


def all_functions() -> str:
    return "system.function.>"


def function(function_id: str) -> str:
    return f"system.function.{function_id}.>"


def user_event(name: str) -> str:
    """An event that a program emits; `name` may be a pattern."""
    return f"events:{name}"


def all_user_events() -> str:
    return "events:>"


def topic(name: str) -> str:
    """Messages that a program publishes; `name` may be a pattern."""
    return f"topic:{name}"


def all_topics() -> str:
    return "topic:>"


def all_secrets() -> str:
    return "system.secret.*"


def secret(name: str) -> str:
    return f"system.secret.{name}.*"


def secret_action(action: str) -> str:
    """An action on any secret: `created`, `updated`, `deleted`."""
    return f"system.secret.*.{action}"

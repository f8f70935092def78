"""`ironflow function register`: one function whose handler another program has."""

from typing import Literal

import msgspec

from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Injected
from ironflow.cli.terminal.payload import read_data
from ironflow.features.functions import contract as functions
from ironflow.features.functions.contract import RegisterFunction
from ironflow.sdk.definition.registration import registration, registration_in


def register(
    function: str = "",
    /,
    *,
    on: list[str] | None = None,
    when: str = "",
    cron: list[str] | None = None,
    name: str = "",
    description: str = "",
    mode: Literal["", "pull", "push"] = "",
    endpoint_url: str = "",
    timeout: str | None = None,
    config: str = "",
    cli: Injected,
) -> None:
    """Register one function without its program, such as one behind an endpoint. Registering again is harmless.

    `ironflow register URL` registers all functions that an application serves.

    Args:
        function: Its id.
        on: Event or pattern that starts it; may be given several times.
        when: CEL over the event, such as data.total > 100.
        cron: Cron expression that starts it; may be given several times.
        name: Name for people.
        description: What it does.
        mode: pull for workers, push for an endpoint.
        endpoint_url: Address that the server calls.
        timeout: Duration of one execution, such as 10m.
        config: All settings as JSON, @FILE or -, as in {"id": "settle", "triggers": [{"event": "order.paid"}],
            "endpointUrl": "https://shop.example/api/ironflow", "preferredMode": "push"}; instead of the others.
    """
    settings = {
        "on": on,
        "when": when,
        "cron": cron,
        "name": name,
        "description": description,
        "mode": mode,
        "endpoint_url": endpoint_url,
        "timeout": timeout,
    }
    if bool(function) == bool(config) or (config and any(settings.values())):
        raise UsageError("give the function's id and its settings, or --config alone.")
    request = _configured(config, cli) if config else registration(function, **settings)
    answer = cli.call(functions.register, request)
    found = answer.function
    cli.show(answer, lambda: f"{'registered' if answer.created else 'updated'} {found.id}, version {found.version}")


def _configured(config: str, cli: Injected) -> RegisterFunction:
    given = msgspec.json.decode(read_data(config, cli.stdin))
    if not isinstance(given, dict):
        raise UsageError("--config is a JSON object with the settings of one function.")
    return registration_in(given)

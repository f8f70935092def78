"""`ironflow register URL`: registers the functions that an application serves."""

import os

from cyclopts import App

from ironflow.cli.invocation import Injected
from ironflow.cli.terminal.output import table
from ironflow.cli.worker.served import registrations_at
from ironflow.features.discovery import contract as discovery
from ironflow.features.functions import contract as functions

app = App("register")


@app.default
def register(url: str, /, *, signing_key: str = "", dry_run: bool = False, cli: Injected) -> None:
    """Register the functions that an application serves at URL with ironflow.serve.

    The server calls URL from then on. Registering again is harmless; do it after each deployment.

    Args:
        url: Address of the endpoint, such as https://shop.example/api/ironflow.
        signing_key: The endpoint's signing key, which its settings are shown to; default IRONFLOW_SIGNING_KEY.
        dry_run: Only show what would change. The server asks URL itself then, with its own signing key.
    """
    if dry_run:
        found = cli.call(discovery.discover, discovery.DiscoverEndpoint(url=url))
        served = [[each.id, each.change, each.fault] for each in found.functions]
        unserved = [[each, "not served", ""] for each in found.unserved]
        cli.show(found, lambda: table(["FUNCTION", "CHANGE", ""], served + unserved))
        return
    key = signing_key or os.environ.get("IRONFLOW_SIGNING_KEY", "")
    registered = [cli.call(functions.register, each) for each in registrations_at(url, key)]
    rows = [[each.function.id, str(each.function.version), "new" if each.created else ""] for each in registered]
    shown = {"endpoint": url, "functions": [each.function.id for each in registered]}
    cli.show(shown, lambda: table(["FUNCTION", "VERSION", ""], rows, right=["VERSION"]))

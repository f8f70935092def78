"""What users test their functions with; `import ironflow.testing` needs no test framework.

`TestClient` runs one function with its steps mocked, without a server. `time_machine` is the real engine in the test's
own process, on a clock that the test moves. `replay` runs a handler over the record of a run.
`ironflow.testing.plugin` is the pytest plugin: a real server process.
Names are imported when they are first used: pytest loads the plugin in every project.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ironflow.testing.client import TestClient
    from ironflow.testing.contexts import context_for_test, secrets
    from ironflow.testing.machine import TimeMachine, time_machine
    from ironflow.testing.machine_run import TimeMachineRun
    from ironflow.testing.machine_worker import NotSettled
    from ironflow.testing.mocks import NotMocked
    from ironflow.testing.replaying import ReplayDiverged, Replayed, replay
    from ironflow.testing.run import TestRun
    from ironflow.testing.server_process import ServerProcess
    from ironflow.testing.simulation import NeverEnds

    create_secrets_client = secrets

_HOME_OF = {
    "NeverEnds": "simulation",
    "NotMocked": "mocks",
    "NotSettled": "machine_worker",
    "ReplayDiverged": "replaying",
    "Replayed": "replaying",
    "ServerProcess": "server_process",
    "TestClient": "client",
    "TestRun": "run",
    "TimeMachine": "machine",
    "TimeMachineRun": "machine_run",
    "context_for_test": "contexts",
    "replay": "replaying",
    "secrets": "contexts",
    "time_machine": "machine",
}

__all__ = [
    "NeverEnds",
    "NotMocked",
    "NotSettled",
    "ReplayDiverged",
    "Replayed",
    "ServerProcess",
    "TestClient",
    "TestRun",
    "TimeMachine",
    "TimeMachineRun",
    "context_for_test",
    "create_secrets_client",
    "replay",
    "secrets",
    "time_machine",
]


# The name that users of the JavaScript package expect.
_ALIASES = {"create_secrets_client": "secrets"}
_RENAMED = {"World": "TimeMachine", "WorldRun": "TimeMachineRun"}


def __getattr__(name: str) -> object:
    name = _ALIASES.get(name, name)
    if name in _RENAMED:
        from ironflow.base.deprecation import renamed

        return renamed(__name__, name, _RENAMED[name])
    if name in _HOME_OF:
        return getattr(import_module(f"ironflow.testing.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'ironflow.testing' has no attribute {name!r}")

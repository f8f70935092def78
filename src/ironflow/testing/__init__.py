"""What users test their functions with; `import ironflow.testing` needs no test framework.

`TestClient` runs one function with its steps mocked, without a server. `time_machine` is the real engine in the test's
own process, on a clock that the test moves. `ironflow.testing.plugin` is the pytest plugin: a real server process.
Names are imported when they are first used: pytest loads the plugin also where nobody asks for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ironflow.testing.client import TestClient
    from ironflow.testing.mocks import NotMocked
    from ironflow.testing.rehearsal import NeverEnds
    from ironflow.testing.run import TestRun
    from ironflow.testing.server_process import ServerProcess
    from ironflow.testing.world import World, time_machine
    from ironflow.testing.world_run import WorldRun
    from ironflow.testing.world_worker import NotSettled

_HOME_OF = {
    "NeverEnds": "rehearsal",
    "NotMocked": "mocks",
    "NotSettled": "world_worker",
    "ServerProcess": "server_process",
    "TestClient": "client",
    "TestRun": "run",
    "World": "world",
    "WorldRun": "world_run",
    "time_machine": "world",
}

__all__ = [
    "NeverEnds",
    "NotMocked",
    "NotSettled",
    "ServerProcess",
    "TestClient",
    "TestRun",
    "World",
    "WorldRun",
    "time_machine",
]


def __getattr__(name: str) -> object:
    if name in _HOME_OF:
        return getattr(import_module(f"ironflow.testing.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'ironflow.testing' has no attribute {name!r}")

"""What users test their functions with; `import ironflow.testing` needs no test framework.

`TestClient` runs one function with its steps mocked, without a server. `time_machine` is the real engine in the test's
own process, on a clock that the test moves. `ironflow.testing.plugin` is the pytest plugin: a real server process.
"""

from ironflow.testing.client import TestClient
from ironflow.testing.mocks import NotMocked
from ironflow.testing.rehearsal import NeverEnds
from ironflow.testing.run import TestRun
from ironflow.testing.world import World, time_machine
from ironflow.testing.world_run import WorldRun
from ironflow.testing.world_worker import NotSettled

__all__ = [
    "NeverEnds",
    "NotMocked",
    "NotSettled",
    "TestClient",
    "TestRun",
    "World",
    "WorldRun",
    "time_machine",
]

"""What happens when somebody asks how the server is."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ironflow.base.call import Call
from ironflow.base.time import Millis, to_datetime
from ironflow.base.version import VERSION
from ironflow.features.server_state import contract
from ironflow.storage.port import Database, StorageFailed, Tx

TRANSPORTS = ["connectrpc", "websocket", "rest"]
# `connect-streams` and `protobuf` are of connectrpc: a client may ask for them, or be content with unary JSON.
# `acked-polls` and `batch-reports` are ours; workers that know them save requests.
FEATURES = [
    "events", "functions", "runs", "kv", "polling-workers", "acked-polls", "batch-reports",
    "connect-streams", "protobuf",
]  # fmt: skip

Counters = dict[str, Callable[[Tx], int]]


@dataclass(frozen=True, slots=True)
class About:
    """What the composition tells this room. counters: numbers for `info`, by the name of its field."""

    started_at: Millis
    auth_required: bool
    warnings: tuple[str, ...]
    counters: Counters
    loops_failing: Callable[[], dict[str, str]]


class ServerState:
    """The server_state room."""

    def __init__(self, db: Database, about: About) -> None:
        self._db = db
        self._about = about

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.health: self.health,
            contract.rpc_health: self.rpc_health,
            contract.ready: self.ready,
            contract.capabilities: self.capabilities,
            contract.info: self.info,
        }

    async def health(self, call: Call, request: contract.Nothing) -> contract.Health:
        warnings = list(self._about.warnings) or None
        return contract.Health(status="ok", timestamp=to_datetime(call.now), version=VERSION, warnings=warnings)

    async def rpc_health(self, call: Call, request: contract.Nothing) -> contract.RpcHealth:
        issues = await self._issues()
        components = {
            name: contract.ComponentHealth(
                status="unhealthy" if name in issues else "healthy", message=issues.get(name, "")
            )
            for name in ("database", "loops")
        }
        status = "unhealthy" if issues else "healthy"
        return contract.RpcHealth(status=status, timestamp=to_datetime(call.now), components=components)

    async def ready(self, call: Call, request: contract.Nothing) -> contract.Readiness:
        issues = await self._issues()
        warnings = {f"warning_{place}": text for place, text in enumerate(self._about.warnings, start=1)}
        return contract.Readiness(status="not_ready" if issues else "ready", issues=issues, warnings=warnings)

    async def capabilities(self, call: Call, request: contract.Nothing) -> contract.Capabilities:
        return contract.Capabilities(
            transports=TRANSPORTS,
            features=FEATURES,
            version=VERSION,
            auth_required=self._about.auth_required,
        )

    async def info(self, call: Call, request: contract.Nothing) -> contract.Info:
        counters = self._about.counters
        counts = await self._db.read(lambda tx: {name: counter(tx) for name, counter in counters.items()})
        return contract.Info(
            version=VERSION,
            started_at=to_datetime(self._about.started_at),
            function_count=counts["function_count"],
            active_runs=counts["active_runs"],
            connected_workers=counts["connected_workers"],
            python_version=platform.python_version(),
            database=self._db.name,
        )

    async def _issues(self) -> dict[str, str]:
        """What keeps the server from doing its work, by part; empty when nothing does."""
        issues: dict[str, str] = {}
        try:
            await self._db.write(lambda tx: tx.row("SELECT 1"))
        except StorageFailed as fault:
            issues["database"] = fault.message
        failing = self._about.loops_failing()
        if failing:
            issues["loops"] = "; ".join(f"{name}: {text}" for name, text in failing.items())
        return issues

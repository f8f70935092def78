"""What happens: health, readiness, capabilities and the description of the server."""

import asyncio
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from ironflow.base.call import Call
from ironflow.base.json import Json, write_json
from ironflow.base.settings import Settings, setting_fields, shown_value
from ironflow.base.time import Millis, to_datetime
from ironflow.base.version import VERSION
from ironflow.features.server_state import contract
from ironflow.storage.port import STORAGE_FAULTS, Database, Tx

TRANSPORTS = ["connectrpc", "websocket", "rest"]
# `connect-streams` and `protobuf` belong to connectrpc: a client may use them, or unary JSON alone.
# `acked-polls`, `batch-reports`, `many-waits`, `handles` and `worker-control` are ours: workers that know them make
# fewer requests, hand over all waits of an execution at once, start runs without ending their execution, learn at once
# of cancels, and end late executions themselves. `async-starts`: what `invoke_function_async` starts while an execution
# goes on is answered as handles are. `step-retries`: a step rests between attempts of its own.
# `step-progress`: it shows its progress. `handler-time`: when steps ended is kept as the worker measured it.
# `cancels-clean-up`: a function's runs may be undone before they are cancelled, and compensations wait in steps.
# `lost-answers`: jobs that a worker was handed with an answer that it never read are given back.
# `restarts`: a run ends with a report that has another go on in its place.
# `entity-invokes`: a step names the entity whose handler it invokes.
# `message-values`: what takes and answers messages also carries values.
FEATURES = [
    "events", "functions", "runs", "kv", "polling-workers", "acked-polls", "batch-reports", "many-waits", "handles",
    "async-starts", "worker-control", "lost-answers", "step-retries", "step-progress", "step-sources", "handler-time",
    "run-logs", "run-values", "run-messages", "message-values", "entities", "entity-invokes", "restarts",
    "cancels-clean-up", "connect-streams", "protobuf",
]  # fmt: skip

# How long /ready waits for the database.
LOOK_S = 1.0
# A change of nothing that is written all the same.
PROBE = "UPDATE schema_migrations SET applied_at = applied_at WHERE number = 1"

Counters = dict[str, Callable[[Tx], int]]


@dataclass(frozen=True, slots=True)
class About:
    """What the composition gives this feature.

    counters: numbers for `info`, by the name of its field. installed: the features that have operations. openapi: the
    document's parts by name, made when asked for.
    """

    started_at: Millis
    auth_required: bool
    event_schema_enforcement: str
    warnings: Callable[[], list[str]]
    counters: Counters
    installed: Callable[[], set[str]]
    loops_failing: Callable[[], dict[str, str]]
    notifier_issue: Callable[[], str | None]
    openapi: Callable[[], dict[str, Any]]
    settings: Settings


class ServerState:
    """The server_state feature."""

    def __init__(self, db: Database, about: About) -> None:
        self._db = db
        self._about = about
        self._openapi: contract.OpenApiDocument | None = None

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.health: self.health,
            contract.rpc_health: self.rpc_health,
            contract.ready: self.ready,
            contract.capabilities: self.capabilities,
            contract.info: self.info,
            contract.openapi: self.openapi,
            contract.settings: self.settings,
        }

    async def health(self, call: Call, request: contract.Nothing) -> contract.Health:
        warnings = self._about.warnings() or None
        return contract.Health(status="ok", timestamp=to_datetime(call.now), version=VERSION, warnings=warnings)

    async def rpc_health(self, call: Call, request: contract.Nothing) -> contract.RpcHealth:
        issues = await self._issues()
        components = {
            name: contract.ComponentHealth(
                status="unhealthy" if name in issues else "healthy", message=issues.get(name, "")
            )
            for name in ("database", "loops", "notifier")
        }
        status = "unhealthy" if issues else "healthy"
        return contract.RpcHealth(status=status, timestamp=to_datetime(call.now), components=components)

    async def ready(self, call: Call, request: contract.Nothing) -> contract.Readiness:
        issues = await self._issues()
        warnings = {f"warning_{number}": text for number, text in enumerate(self._about.warnings(), start=1)}
        return contract.Readiness(status="not_ready" if issues else "ready", issues=issues, warnings=warnings)

    async def capabilities(self, call: Call, request: contract.Nothing) -> contract.Capabilities:
        return contract.Capabilities(
            transports=TRANSPORTS,
            features=self._features(),
            version=VERSION,
            auth_required=self._about.auth_required,
        )

    def _features(self) -> list[str]:
        """The capabilities that workers and clients look for by name, and the installed features."""
        installed = self._about.installed()
        if not self._about.settings.oidc_issuer:
            installed.discard("oidc")
        return list(dict.fromkeys([*FEATURES, *sorted(installed)]))

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
            event_schema_enforcement=self._about.event_schema_enforcement,
        )

    async def settings(self, call: Call, request: contract.Nothing) -> contract.ServerSettings:
        own = self._about.settings
        to_operator = call.principal.environment is None
        return contract.ServerSettings(
            settings=[
                contract.Setting(
                    name=each.name,
                    value=_json(shown_value(own, each, to_operator=to_operator)),
                    default=_json(each.default),
                    origin=_origin(own.origins.get(each.name, "default"), to_operator=to_operator),
                    variable=f"IRONFLOW_{each.name.upper()}",
                    meaning=each.metadata["meaning"],
                )
                for each in setting_fields()
            ]
        )

    async def openapi(self, call: Call, request: contract.Nothing) -> contract.OpenApiDocument:
        if self._openapi is None:
            # The operations do not change while the server runs.
            parts = self._about.openapi()
            texts = {name: msgspec.Raw(msgspec.json.encode(parts[name])) for name in ("info", "paths", "components")}
            self._openapi = contract.OpenApiDocument(openapi=parts["openapi"], **texts)
        return self._openapi

    async def _database_issue(self) -> str | None:
        """Writes, and so finds a full disk; does not wait for long."""
        try:
            async with asyncio.timeout(LOOK_S):
                await self._db.write(lambda tx: tx.run(PROBE))
        except STORAGE_FAULTS as fault:
            return self._db.issue() or fault.message
        except TimeoutError:
            return self._db.issue() or f"The database did not take a write within {LOOK_S:g} s."
        return self._db.issue()

    async def _issues(self) -> dict[str, str]:
        """What prevents the server from working, by part; empty when nothing does."""
        issues: dict[str, str] = {}
        database = await self._database_issue()
        if database is not None:
            issues["database"] = database
        notifier = self._about.notifier_issue()
        if notifier is not None:
            issues["notifier"] = notifier
        failing = self._about.loops_failing()
        if failing:
            issues["loops"] = "; ".join(f"{name}: {text}" for name, text in failing.items())
        return issues


def _json(value: Any) -> Json:
    return Json(write_json(value))


def _origin(origin: str, *, to_operator: bool) -> str:
    """Where a value came from; the path of a file is for the operator alone."""
    return origin if to_operator or origin in ("default", "the environment", "the command line") else "a file"

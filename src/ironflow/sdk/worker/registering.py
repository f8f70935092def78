"""Registering functions one by one: one that the server refuses does not take the others down."""

from collections.abc import Sequence

from ironflow.base.errors import IronflowError, Unauthenticated, Unimplemented, WorkerAuthError
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.user_code.logs import SdkLogger
from ironflow.sdk.user_code.signature import defined_at
from ironflow.sdk.wire.backoff import is_transient
from ironflow.sdk.worker.protocol import ENTITIES, MANY_WAITS, WorkerProtocol

logger = SdkLogger("ironflow.worker")


class Registering:
    """The functions of a worker. Each that the server refuses is named once in the log, with its file and line."""

    def __init__(self, functions: Sequence[FunctionDefinition]) -> None:
        self._functions = functions
        self._refused: set[str] = set()

    async def run(self, protocol: WorkerProtocol, features: frozenset[str]) -> list[str]:
        """The ids of the functions that are registered. Raises the server's error when it refuses all of them."""
        registered: list[str] = []
        refusal: IronflowError | None = None
        for each in self._functions:
            try:
                _check_served(each, features)
                await protocol.register_function(each, features, MANY_WAITS in features)
            except IronflowError as fault:
                if isinstance(fault, WorkerAuthError | Unauthenticated) or is_transient(fault):
                    raise
                refusal = fault
                self._log(each, fault)
            else:
                registered.append(each.id)
        if refusal is not None and not registered:
            raise refusal
        return registered

    def _log(self, function: FunctionDefinition, fault: IronflowError) -> None:
        if function.id in self._refused:
            return
        self._refused.add(function.id)
        fields = {"function_id": function.id, "defined_at": defined_at(function.handler), "fault": fault.message}
        logger.error("function not registered", extra=fields)


def _check_served(function: FunctionDefinition, features: frozenset[str]) -> None:
    """Raises Unimplemented for a function that the server would run without what it needs."""
    if function.settings.entity is not None and ENTITIES not in features:
        raise Unimplemented(
            f"function {function.id!r} is a handler of an entity, and this server, or the plain protocol, keeps none."
        )

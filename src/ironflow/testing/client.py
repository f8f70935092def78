"""`TestClient`: one function run to its end in the test's process, with mocks for what it does and no server."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from ironflow.base.cel import expression
from ironflow.base.errors import InvalidArgument
from ironflow.base.pattern import matches
from ironflow.base.time import FixedClock, to_millis
from ironflow.features.functions.contract import FunctionNotFound, InvalidFunction
from ironflow.features.runs.in_tx import INVOKED
from ironflow.log.record import Record
from ironflow.sdk.client.views.run_results import NoRunStarted
from ironflow.sdk.definition.function import FunctionDefinition
from ironflow.sdk.values.payload import Raw, from_payload, to_payload
from ironflow.testing.given_clients import GivenClients
from ironflow.testing.run import TestRun
from ironflow.testing.simulation import simulated
from ironflow.testing.simulation_state import SimulationState


class TestClient:
    """Runs functions to their end without a server.

        client = TestClient(functions=[process_order])
        client.mock_step("charge", {"id": "ch_1"})
        run = await client.emit("order.placed", {"amount": 100})
        assert run.status == "completed"

    strict: every step and every invoked function needs a mock, and compensations are recorded without being run.
    Otherwise real bodies run where there is no mock. secrets: what `ctx.secrets` may give to functions that declare it.
    start: the time of the first event, else the first moment of 2026; sleeps move it. client: what `ctx.client` gives,
    such as a double with the methods that handlers use. Raises InvalidFunction.
    """

    # Not a test class, although the name begins with Test.
    __test__: ClassVar[bool] = False

    def __init__(
        self,
        functions: Sequence[FunctionDefinition],
        *,
        strict: bool = True,
        secrets: Mapping[str, str] | None = None,
        start: datetime | None = None,
        client: Any = None,
    ) -> None:
        clock = FixedClock() if start is None else FixedClock(to_millis(start))
        clients = None if client is None else GivenClients(client)
        self._state = SimulationState(functions_by_id(functions), strict, dict(secrets or {}), clock, clients)

    def mock_step(self, name: str, *answers: Any) -> None:
        """Replaces the body of the step `name` by answers.

        answers: a value, an exception to raise, or a callable, which is given the body's arguments unless it takes
        none. Of several, each call takes the next and the last one stays. `compensate:charge` mocks the compensation
        of step `charge`, `publish:orders` publishing to that topic; a callable is given the message.
        """
        self._state.steps.add(name, answers)

    def mock_invoke(self, function: str | FunctionDefinition, *answers: Any) -> None:
        """Replaces an invoked function by answers. answers: as for mock_step; a callable is given the input.

        An exception makes the handler see InvokeError, with the exception's text as its cause.
        """
        self._state.invokes.add(function if isinstance(function, str) else function.id, answers)

    def send_event(self, name: str, data: Any = None, *, metadata: Any = None, version: int = 1) -> None:
        """Queues an event. It comes when a run waits for it, the oldest first, and ends all waits that it is for.

        A wait for which none comes times out. Raises SerializationError.
        """
        self._state.events.append(self._state.event(name, data, metadata=metadata, version=version))

    def set_state(self, entity: str, key: str, state: Any) -> None:
        """Sets the state of an entity, as a handler of it would have. Raises SerializationError."""
        self._state.entities[entity, key] = to_payload(state, f"the state of {entity!r}")

    def state(self, entity: str, key: str) -> Any:
        """The state of an entity; None where no handler has set one."""
        found = self._state.entities.get((entity, key))
        return None if found is None else from_payload(found)

    async def emit(
        self,
        name: str,
        data: Any = None,
        *,
        function: str | FunctionDefinition | None = None,
        metadata: Any = None,
        version: int = 1,
        cancel_at: str = "",
    ) -> TestRun:
        """The run that this event starts, at its end.

        function: which one, where the event starts several. cancel_at: the name of a step: the run is cancelled while
        it waits there, and undone before where its function says so.
        Raises NotMocked, NoRunStarted, NeverEnds, InvalidArgument for a run that did not wait there.
        """
        event = self._state.event(name, data, metadata=metadata, version=version)
        started = [each for each in self._state.functions.values() if _is_triggered(each, event)]
        if function is not None:
            wanted = function if isinstance(function, str) else function.id
            started = [each for each in started if each.id == wanted]
        if not started:
            triggers = {
                each.id: [trigger.event or trigger.cron for trigger in each.settings.triggers]
                for each in self._state.functions.values()
            }
            raise NoRunStarted(f"event {name!r} starts none of these functions; their triggers: {triggers}.")
        if len(started) > 1:
            ids = ", ".join(repr(each.id) for each in started)
            raise InvalidArgument(f"event {name!r} starts {ids}. Name the one to run with function=.")
        return await self._run(started[0], event, cancel_at)

    async def invoke(
        self, function: str | FunctionDefinition, data: Any = None, *, cancel_at: str = "", entity_key: str = ""
    ) -> TestRun:
        """A run of that function, whatever its triggers, at its end. cancel_at: as of emit.

        entity_key: of the entity that the function is a handler of, as `client.entities.call` names it; empty for the
        one in `data`.

        Raises FunctionNotFound, NotMocked, NeverEnds, InvalidArgument.
        """
        function_id = function if isinstance(function, str) else function.id
        found = self._state.functions.get(function_id)
        if found is None:
            there = ", ".join(map(repr, self._state.functions))
            raise FunctionNotFound(
                f"There is no function {function_id!r} here; there is {there}.", function_id=function_id
            )
        if entity_key and found.settings.entity is None:
            raise InvalidArgument(f"{function_id!r} is no handler of an entity: it takes no entity_key.")
        return await self._run(found, self._state.event(INVOKED, data, source="invoke"), cancel_at, entity_key)

    async def _run(self, function: FunctionDefinition, event: Record, cancel_at: str, entity_key: str = "") -> TestRun:
        self._state.fault = None
        return await simulated(self._state, function, event, cancel_at, entity_key)


def functions_by_id(functions: Sequence[FunctionDefinition]) -> dict[str, FunctionDefinition]:
    """Raises InvalidFunction for what is no function, and for an id that comes twice."""
    found: dict[str, FunctionDefinition] = {}
    for each in functions:
        if not isinstance(each, FunctionDefinition):
            raise InvalidFunction(f"{each!r} is no function. Write @function(...) above its handler.")
        if each.id in found:
            raise InvalidFunction(f"two functions are called {each.id!r}.")
        found[each.id] = each
    return found


def _is_triggered(function: FunctionDefinition, event: Record) -> bool:
    for trigger in function.settings.triggers:
        if not trigger.event or not matches(trigger.event, event.name):
            continue
        if not trigger.expression:
            return True
        data, metadata = from_payload(Raw(event.data.encode())), event.metadata
        about = {"metadata": None if metadata is None else from_payload(Raw(metadata.encode()))}
        if expression(trigger.expression).matches(data, name=event.name, id=event.id, **about):
            return True
    return False

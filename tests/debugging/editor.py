"""A small client of the Debug Adapter Protocol: a session in this process, on the server of the test."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.errors import ConnectionLost, IronflowError
from ironflow.debugging.dap.protocol import Ask, Flow, Rubbish, Send
from ironflow.debugging.dap.session import Session
from tests.support.work import Work, step


class Refusal(Exception):
    """The session has refused a request."""


class Editor:
    """messages: all that the session sent. reachable: whether the server answers."""

    def __init__(self, server: Work, default_run: str = "") -> None:
        self.server = server
        self.run_id = default_run
        self.session = Session(default_run)
        self.messages: list[dict[str, Any]] = []
        self.reachable = True
        self._seq = 0

    async def raw(self, message: dict[str, Any] | Rubbish) -> list[dict[str, Any]]:
        """What the session sends for a message."""
        return await self._drive(self.session.handle(message))

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The body of the response. Raises Refusal."""
        self._seq += 1
        sent = await self.raw({"seq": self._seq, "type": "request", "command": command, "arguments": arguments})
        (response,) = [each for each in sent if each["type"] == "response"]
        assert (response["request_seq"], response["command"]) == (self._seq, command)
        if not response["success"]:
            raise Refusal(response["message"])
        return response["body"]

    async def poll(self) -> list[dict[str, Any]]:
        return await self._drive(self.session.poll())

    async def leave(self) -> None:
        """The client vanishes."""
        await self._drive(self.session.close())

    async def begin(self, how: str = "launch", **configuration: Any) -> dict[str, Any]:
        """The capabilities; the session is at its first stop, or follows."""
        capabilities = await self.ask("initialize", adapterID="ironflow", **configuration.pop("client", {}))
        assert self.events("initialized") == [{}]
        await self.ask(how, **configuration)
        await self.ask("configurationDone")
        return capabilities

    def events(self, name: str) -> list[dict[str, Any]]:
        return [each["body"] for each in self.messages if each["type"] == "event" and each["event"] == name]

    @property
    def stop(self) -> dict[str, Any]:
        """The last stop."""
        return self.events("stopped")[-1]

    @property
    def printed(self) -> str:
        return "".join(each["output"] for each in self.events("output"))

    async def move(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Steps or continues; where it has stopped."""
        count = len(self.events("stopped"))
        await self.ask(command, threadId=1, **arguments)
        assert len(self.events("stopped")) == count + 1
        return self.stop

    async def frames(self, thread: int = 1) -> list[dict[str, Any]]:
        return (await self.ask("stackTrace", threadId=thread))["stackFrames"]

    async def scope(self, name: str, frame: int | None = None) -> int:
        """The reference of a scope."""
        frame_id = frame if frame is not None else (await self.frames())[0]["id"]
        scopes = (await self.ask("scopes", frameId=frame_id))["scopes"]
        return next(each["variablesReference"] for each in scopes if each["name"] == name)

    async def values(self, scope: str) -> dict[str, str]:
        """The variables of a scope as text."""
        reference = await self.scope(scope)
        if not reference:
            return {}
        found = (await self.ask("variables", variablesReference=reference))["variables"]
        return {each["name"]: each["value"] for each in found}

    async def evaluated(self, expression: str, **more: Any) -> str:
        return (await self.ask("evaluate", expression=expression, **more))["result"]

    async def _drive(self, flow: Flow) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        answer: Any = None
        fault: IronflowError | None = None
        while True:
            try:
                found = flow.send(answer) if fault is None else flow.throw(fault)
            except StopIteration:
                return sent
            answer, fault = None, None
            if isinstance(found, Send):
                sent.append(dict(found.message))
                self.messages.append(sent[-1])
            elif isinstance(found, Ask):
                try:
                    answer = await self._answer(found)
                except IronflowError as raised:
                    fault = raised

    async def _answer(self, asked: Ask) -> Any:
        if not self.reachable:
            raise ConnectionLost("The server cannot be reached.")
        dispatch = self.server.dispatch
        call = Call(environment="default", now=self.server.now, authorise=dispatch.authorise)
        return await dispatch(asked.operation, call, asked.request)


async def an_order(server: Work, *, fails: bool = False) -> str:
    """A recorded run that reserves, charges in two branches, and completes or fails; its id."""
    run = await server.a_run(recording=True)
    server.move(1_000)
    job = await server.claim()
    server.move(1_000)
    await server.report(job, "progress", step(job, "reserve", {"table": 12, "guests": ["Ada", "Bo"]}))
    server.move(1_000)
    for branch, amount in enumerate((70, 30)):
        part = step(job, "charge", {"amount": amount}) | {"id": f"{run.id}:pay:{branch}:charge:0"}
        await server.report(job, "progress", part)
    server.move(1_000)
    if fails:
        error = {"message": "card declined", "code": "DECLINED", "retryable": False, "stack": "at charge.py:7"}
        await server.report(job, "failed", step(job, "confirm", error=error), error=error)
    else:
        await server.report(job, "completed", step(job, "confirm", "sent"), output={"ok": True})
    return run.id

"""A server stream over a WebSocket: each answer is a text frame, an error before the first refuses the handshake."""

import asyncio
from contextlib import aclosing
from typing import Any

from ironflow.base.errors import NotFound
from ironflow.base.operation import Operation
from ironflow.base.socket import Socket
from ironflow.base.spelling import message_to_json
from ironflow.dispatch import Dispatch
from ironflow.transports.rest import message_of_texts


async def send_stream(dispatch: Dispatch, operation: Operation[Any, Any], socket: Socket) -> None:
    """Sends the stream until it ends or the client disconnects; messages of the client are ignored.

    Raises the error that the request or the stream is refused with.
    """
    message = message_of_texts(operation, socket.values)
    async with aclosing(dispatch.stream(operation, socket.call, message)) as answers:
        # The first answer, or None when it has begun without one: until then it can be refused.
        try:
            first = await anext(answers, None)
        except NotFound:
            if operation.refused_in_frame:
                await socket.accept()
            raise
        await socket.accept()
        leaving = asyncio.ensure_future(socket.until_closed())
        coming: asyncio.Future[Any] | None = None
        try:
            if first is not None:
                await socket.send(_text(operation, first))
            while True:
                coming = asyncio.ensure_future(anext(answers))
                await asyncio.wait((coming, leaving), return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    return
                answer = coming.result()
                if answer is not None:
                    await socket.send(_text(operation, answer))
        except StopAsyncIteration:
            return
        finally:
            leaving.cancel()
            if coming is not None and not coming.done():
                coming.cancel()
                await asyncio.wait((coming,))


def _text(operation: Operation[Any, Any], answer: Any) -> str:
    return message_to_json(answer, operation.spelling).decode()

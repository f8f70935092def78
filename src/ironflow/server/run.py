"""A server process: opens, listens, serves, and stops on a signal without losing what it acknowledged."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Callable, Mapping

from ironflow.base.json import write_json_text
from ironflow.base.logs import set_up_logs
from ironflow.base.version import VERSION
from ironflow.server.building import Server, build
from ironflow.server.descriptors import raise_limit
from ironflow.server.http_servers import HttpServer, http_server
from ironflow.server.settings import Settings, settings_text

logger = logging.getLogger(__name__)

Started = Callable[[str], None]


def serve(settings: Settings, started: Started | None = None, unused: Mapping[str, str] | None = None) -> None:
    """Runs a server until SIGINT or SIGTERM.

    started: called with the address (`http://host:port`) once it accepts connections.
    unused: what was set and has no effect, with the reason; each is logged once.
    Raises CannotOpen (and its subclasses), CannotListen or InvalidSettings before anything is served.
    """
    set_up_logs(settings.log_level, settings.log_format)
    raise_limit()
    for name, reason in (unused or {}).items():
        logger.warning("set, but without effect", extra={"setting": name, "reason": reason})
    # A thread that waits for the GIL gets it sooner; the commit thread is such a one. See benchmarks/storage.
    sys.setswitchinterval(0.0005)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, started))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve(settings: Settings, started: Started | None) -> None:
    if settings.serves_all:
        logger.warning("no authentication: every caller may do everything", extra={"host": settings.host})
    server = await build(settings)
    try:
        http = http_server(server.app, settings)
        await _until_stopped(server, http, started)
    finally:
        await server.stop()


async def _until_stopped(server: Server, http: HttpServer, started: Started | None) -> None:
    loop = asyncio.get_running_loop()

    draining: list[asyncio.Task[None]] = []

    def stop() -> None:
        if draining:
            return
        logger.info("stopping")
        server.drain()
        draining.append(loop.create_task(stop_when_drained()))

    async def stop_when_drained() -> None:
        # The HTTP server would cut sockets off before their last message is sent.
        try:
            async with asyncio.timeout(server.settings.shutdown_ms / 2000):
                await server.drained()
        except TimeoutError:
            logger.warning("clients that were asked to leave are cut off")
        finally:
            http.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop)

    def accepting() -> None:
        server.parts.address = http.address
        logger.info("serving", extra={"address": http.address, "version": VERSION})
        logger.debug("settings", extra={"settings": settings_text(server.settings)})
        if started is not None:
            started(http.address)

    await server.start()
    # Everything allocated until now stays for the whole process: the collector need not scan it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    await http.serve(accepting)


def _print_address(address: str) -> None:
    sys.stdout.write(write_json_text({"address": address}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """`python -m ironflow.server.run`: for tests; prints one JSON line with the address when it serves."""
    from ironflow.server.settings import load_settings

    serve(load_settings(), _print_address)


if __name__ == "__main__":
    main()

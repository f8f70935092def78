"""A server process: opens, listens, serves, and stops on a signal without losing what it acknowledged."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Callable

from ironflow.base.json import write_json_text
from ironflow.base.version import VERSION
from ironflow.server.house import House, build
from ironflow.server.http_servers import HttpServer, http_server
from ironflow.server.logs import set_up_logs
from ironflow.server.settings import Settings, settings_text

logger = logging.getLogger(__name__)

# The part of the time for stopping after which streams that drain are ended as well.
DRAINED_BY = 0.8

Started = Callable[[str], None]


def serve(settings: Settings, started: Started | None = None) -> None:
    """Runs a server until SIGINT or SIGTERM.

    started: called with the address (`http://host:port`) once it accepts connections.
    Raises CannotOpen (and its kinds), CannotListen or InvalidSettings before anything is served.
    """
    set_up_logs(settings.log_level, settings.log_format)
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
    house = await build(settings)
    try:
        server = http_server(house.app, settings)
        await _until_stopped(house, server, started)
    finally:
        await house.close()


async def _until_stopped(house: House, server: HttpServer, started: Started | None) -> None:
    loop = asyncio.get_running_loop()

    goodbyes: list[asyncio.Task[None]] = []

    def stop() -> None:
        logger.info("stopping")
        house.let_go()
        loop.call_later(house.settings.shutdown_ms * DRAINED_BY / 1000, house.let_go_of_all)
        goodbyes.append(loop.create_task(say_goodbye()))

    async def say_goodbye() -> None:
        # A server that stops at once cuts sockets off before their last word is sent.
        try:
            await house.until_let_go()
        finally:
            server.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop)

    def accepting() -> None:
        logger.info("serving", extra={"address": server.address, "version": VERSION})
        logger.debug("settings", extra={"settings": settings_text(house.settings)})
        if started is not None:
            started(server.address)

    house.start_loops()
    # What exists now lives as long as the process; the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    await server.serve(accepting)


def _say_address(address: str) -> None:
    sys.stdout.write(write_json_text({"address": address}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """`python -m ironflow.server.run`: for tests; prints one JSON line with the address when it serves."""
    from ironflow.server.settings import load_settings

    serve(load_settings(), _say_address)


if __name__ == "__main__":
    main()

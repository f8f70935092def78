"""A server with the data of the shop, for people: `python -m tests.dashboard.serve_shop`. It ends on Ctrl-C."""

import sys
import tempfile
import time
from pathlib import Path

from ironflow.sync import Client
from ironflow.testing.server_process import ServerProcess
from tests.dashboard.shop import FUNCTIONS, fill
from tests.dashboard.shop_data import PROJECTIONS


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder))
        try:
            with server.worker(FUNCTIONS, projections=PROJECTIONS):
                with Client(server.url) as client:
                    runs = fill(client, lambda: time.sleep(2))
                sys.stdout.write(f"{server.url}\n{runs}\n")
                sys.stdout.flush()
                sys.stdin.read()
        finally:
            server.stop()


if __name__ == "__main__":
    main()

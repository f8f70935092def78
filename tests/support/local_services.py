"""Starts the servers that some tests need: in a folder of the checkout, on free ports, and as often as you like.

    python -m tests.support.local_services start      # make services
    python -m tests.support.local_services stop       # make services-stop

`start` installs missing programs with apt-get, as root or with sudo. A server that an environment variable names is
used as it is. Needs the standard library alone. Tests find them by `address`.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FOLDER = Path(__file__).parents[2] / ".services"
WITHIN_S = 30
LOOK_EVERY_S = 0.02
PORTS_TRIED = 3

# Program -> Debian package. curl and Chromium try out the pages of the documentation.
PACKAGES = {
    "initdb": "postgresql",
    "nats-server": "nats-server",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "curl": "curl",
}


def program(name: str) -> str | None:
    """The path of a program. Debian keeps those of PostgreSQL apart, and servers where only root looks for them."""
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda it: float(it.parent.name), reverse=True)
    folders = [*map(str, newest_first), os.environ.get("PATH", os.defpath), "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join(folders))


def address(server: str, folder: Path = FOLDER) -> str | None:
    """Where `start` has put a server; None when it has not."""
    try:
        return (folder / f"{server}.address").read_text()
    except FileNotFoundError:
        return None


class Postgres:
    """PostgreSQL refuses to run as root: there it runs as the user `postgres` of the Debian package."""

    name = "postgres"
    variable = "IRONFLOW_TEST_POSTGRES"
    needs = "initdb"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "postgres"

    def start(self) -> str:
        self._make_folder()
        self._run("initdb", "-U", "postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync")
        for tried in range(1, PORTS_TRIED + 1):
            port = free_port()
            settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
            try:
                self._run("pg_ctl", "start", "-w", "-l", str(self._data.parent / "log"), "-o", settings)
            except subprocess.CalledProcessError:
                # Another process may have taken the port meanwhile.
                if tried == PORTS_TRIED:
                    raise
            else:
                return f"postgresql://postgres@127.0.0.1:{port}/postgres"
        raise AssertionError("unreachable")

    def is_running(self) -> bool:
        try:
            port = int((self._data / "postmaster.pid").read_text().splitlines()[3])
            self._run("pg_ctl", "status")
            # A killed process that nothing has reaped counts as running for pg_ctl.
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
        except (OSError, IndexError, subprocess.CalledProcessError):
            return False
        return True

    def stop(self) -> None:
        if self.is_running():
            self._run("pg_ctl", "stop", "-w", "-m", "immediate")
        if self._folder.is_symlink():
            shutil.rmtree(self._folder.resolve(), ignore_errors=True)
            self._folder.unlink()
        elif self._folder.exists():
            shutil.rmtree(self._folder)

    def _make_folder(self) -> None:
        """Makes the folder; elsewhere, with a link to it, where the user `postgres` cannot reach the checkout."""
        reachable = (
            subprocess.run(["test", "-x", str(self._folder.parent)], check=False, **self._owner()).returncode == 0
        )
        if reachable:
            self._folder.mkdir()
        else:
            self._folder.symlink_to(tempfile.mkdtemp(prefix="ironflow-postgres-"))
        if self._owner():
            shutil.chown(self._folder, "postgres", "postgres")

    @property
    def _data(self) -> Path:
        return self._folder.resolve() / "data"

    def _run(self, tool: str, *options: str) -> None:
        command = [program(tool) or tool, "-D", str(self._data), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **self._owner())

    def _owner(self) -> dict[str, Any]:
        return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


class Nats:
    """NATS with JetStream. Its server name is its folder: so a later process with the same id is not taken for it."""

    name = "nats"
    variable = "IRONFLOW_TEST_NATS"
    needs = "nats-server"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "nats"
        self._pid = self._folder / "pid"

    def start(self) -> str:
        self._folder.mkdir()
        files = {"-sd": "data", "-P": "pid", "-l": "log", "--ports_file_dir": ""}
        options = [each for option, file in files.items() for each in (option, str(self._folder / file))]
        command = [
            program("nats-server") or "nats-server",
            "-a",
            "127.0.0.1",
            "-p",
            "-1",
            "-js",
            "-n",
            str(self._folder),
        ]
        subprocess.Popen(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self.is_running, f"NATS answers; see {self._folder / 'log'}")
        return self._address() or ""

    def is_running(self) -> bool:
        where = self._address()
        return where is not None and nats_info(where).get("server_name") == str(self._folder)

    def stop(self) -> None:
        if self.is_running():
            os.kill(int(self._pid.read_text()), signal.SIGTERM)
            # NATS removes this file when it has closed all others.
            wait_until(lambda: self._address() is None, "NATS has ended")
        if self._folder.exists():
            shutil.rmtree(self._folder)

    def _address(self) -> str | None:
        for ports in self._folder.glob("*.ports"):
            with suppress(FileNotFoundError, json.JSONDecodeError):
                return json.loads(ports.read_bytes())["nats"][0]
        return None


def nats_info(where: str) -> Mapping[str, Any]:
    """What a NATS server says of itself when a client connects; empty when none answers."""
    at = urlsplit(where)
    try:
        with socket.create_connection((at.hostname or "127.0.0.1", at.port or 4222), timeout=2) as connection:
            verb, _, facts = connection.makefile("rb").readline().partition(b" ")
    except OSError:
        return {}
    return json.loads(facts) if verb == b"INFO" else {}


def start(folder: Path = FOLDER) -> int:
    """Starts what does not run yet. The exit code: 1 when a program is missing and could not be installed."""
    given = {server.needs: server for server in (Postgres, Nats) if os.environ.get(server.variable)}
    missing = install([name for name in PACKAGES if name not in given and program(name) is None])
    for server in given.values():
        print(f"{server.name}: {os.environ[server.variable]} ({server.variable})")
    with locked(folder.parent):
        folder.mkdir(exist_ok=True)
        # Whatever the umask is: the user `postgres` has to reach its folder.
        folder.chmod(0o755)
        for server in (Postgres(folder), Nats(folder)):
            if server.needs not in {*given, *missing}:
                print(f"{server.name}: {ensure(server, folder)}")
    for name in missing:
        print(f"{name}: missing, install the package {PACKAGES[name]}", file=sys.stderr)
    return 1 if missing else 0


def ensure(server: Postgres | Nats, folder: Path) -> str:
    """The address of a server that runs: the one from before, or a new one."""
    known = address(server.name, folder)
    if known is not None and server.is_running():
        return known
    # What was left by a machine that went down, or by a start that was interrupted.
    server.stop()
    started = server.start()
    (folder / f"{server.name}.address").write_text(started)
    return started


def stop(folder: Path = FOLDER) -> int:
    with locked(folder.parent):
        for server in (Postgres(folder), Nats(folder)):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def install(names: list[str]) -> list[str]:
    """Installs programs; those that are still missing afterwards."""
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    if names and all(shutil.which(needed) for needed in ("apt-get", *sudo)):
        packages = sorted({PACKAGES[name] for name in names})
        print(f"installing {', '.join(packages)}", file=sys.stderr)
        apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run([*apt, *arguments], check=False, stdout=subprocess.DEVNULL)
    return [name for name in names if program(name) is None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {WITHIN_S} s: {what}")
        time.sleep(LOOK_EVERY_S)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One start or stop at a time in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def main(verb: str, folder: str = str(FOLDER)) -> int:
    try:
        return {"start": start, "stop": stop}[verb](Path(folder))
    except subprocess.CalledProcessError as failed:
        # Its own message stands above.
        print(f"exit code {failed.returncode}: {' '.join(failed.cmd)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Builds the clients, one time in a session, and skips their tests where a toolchain is missing."""

import shutil
import subprocess
from pathlib import Path

import grpc_tools
import pytest
from grpc_tools import protoc

from tests.protocol.protofiles import FOLDER
from tests.support.services import SERVICES

HERE = Path(__file__).parent
MODULE = "ironflow.test/clients"
BUILD_S = 600


def program(name: str) -> str:
    """The toolchain by that name in IRONFLOW_TEST_REQUIRE. Skips the test where it is missing."""
    found = SERVICES[name]()
    if found.address is None:
        pytest.skip(found.missing)
    return found.address


@pytest.fixture(scope="session")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, with connect-go's code for the .proto files of the package."""
    go = program("go")
    folder = tmp_path_factory.mktemp("go-client")
    for each in (HERE / "go").iterdir():
        shutil.copy(each, folder)

    def run(*arguments: str) -> None:
        done = subprocess.run(
            [go, *arguments], cwd=folder, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
        assert done.returncode == 0, done.stderr

    for plugin in ("google.golang.org/protobuf/cmd/protoc-gen-go", "connectrpc.com/connect/cmd/protoc-gen-connect-go"):
        run("build", "-o", str(folder / "bin" / plugin.rpartition("/")[2]), plugin)
    files = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.proto"))
    options = ",".join([f"module={MODULE}", *(f"M{file}={MODULE}/gen;gen" for file in files)])
    command = ["protoc", f"-I{FOLDER}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"]
    for language in ("go", "connect-go"):
        command += [f"--plugin=protoc-gen-{language}={folder / 'bin' / f'protoc-gen-{language}'}"]
        command += [f"--{language}_out={folder}", f"--{language}_opt={options}"]
    assert protoc.main([*command, *files]) == 0
    run("build", "-o", "clients", ".")
    return folder / "clients"

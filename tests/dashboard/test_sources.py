"""Rules of the dashboard's sources, and the sizes of what is built of them."""

import gzip
import re
from pathlib import Path

import pytest

from ironflow.dashboard.site import BUILT
from tests.dashboard.conftest import check_built

SOURCES = Path(__file__).parents[2] / "dashboard" / "src"
FIRST_VIEW_BYTES_MAX = 90_000
PAGE_BYTES_MAX = 250_000


def files(*suffixes: str) -> list[Path]:
    return [path for path in sorted(SOURCES.rglob("*")) if path.suffix in suffixes and path.name != "schema.d.ts"]


def test_no_component_is_over_200_lines():
    assert [path.name for path in files(".svelte") if len(path.read_text().splitlines()) > 200] == []


@pytest.mark.parametrize(
    "forbidden", [r"\{@html", r"\bas any\b|: any\b|<any>", r"""\sstyle=["'{]""", r"\beval\(|innerHTML"]
)
def test_no_source_escapes_the_types_or_the_policy(forbidden: str):
    found = [path.name for path in files(".svelte", ".ts") if re.search(forbidden, path.read_text())]
    assert found == []


def test_only_the_tokens_have_colours():
    colour = re.compile(r"#[0-9a-fA-F]{3,8}\b(?=[;\s)])|\brgba?\((?!0 0 0 / 40%)|\bhsla?\(")
    styles = [path for path in files(".svelte", ".css") if path.name != "tokens.css"]
    parts = {path.name: path.read_text().partition("<style>")[2] or "" for path in styles}
    assert [name for name, style in parts.items() if colour.search(style)] == []


def test_every_model_has_a_test():
    models = [path for path in files(".ts") if path.name == "model.ts"]
    assert models
    assert [str(path) for path in models if not path.with_name("model.test.ts").exists()] == []


def test_every_shared_component_is_in_the_gallery():
    parts = {path.name for path in (SOURCES / "parts").glob("*.svelte")}
    gallery = (SOURCES / "pages" / "gallery" / "Page.svelte").read_text()
    assert parts - set(re.findall(r"parts/(\w+\.svelte)", gallery)) == set()


def zipped(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 9))


def loads_of(script: Path) -> dict[str, list[Path]]:
    """What each `import()` of a built script loads: the module, and with it all files that the module needs."""
    text = script.read_text()
    found = re.search(r"m\.f=\[([^\]]*)\]", text)
    files = re.findall(r'"([^"]+)"', found[1]) if found else []
    calls = re.findall(r"import\([`\"']\./([^`\"']+)[`\"']\)(?:,__vite__mapDeps\(\[([\d,]*)\]\))?", text)
    return {
        name: [BUILT / "assets" / name, *(BUILT / files[int(index)] for index in indices.split(",") if index)]
        for name, indices in calls
    }


def weight(page: list[Path], already: set[Path]) -> int:
    """Compressed bytes of a page with what it loads on first use, such as an editor; without what is there already."""
    wanted, waiting = set[Path](), list(page)
    while waiting:
        path = waiting.pop()
        if path in wanted or path in already:
            continue
        wanted.add(path)
        if path.suffix == ".js":
            waiting.extend(file for files in loads_of(path).values() for file in files)
    return sum(map(zipped, wanted))


def test_the_first_view_and_every_page_are_small():
    check_built()
    names = re.findall(r'(?:src|href)="/(assets/[^"]+)"', (BUILT / "index.html").read_text())
    shell = {BUILT / name for name in names}
    (main,) = [path for path in shell if path.suffix == ".js"]
    pages = loads_of(main)
    assert len(pages) > 10
    frame = sum(map(zipped, shell))
    sizes = {name: frame + weight(files, shell) for name, files in pages.items()}
    overview = next(iter(sizes))

    assert sizes[overview] < FIRST_VIEW_BYTES_MAX
    assert {name: size for name, size in sizes.items() if size >= PAGE_BYTES_MAX} == {}

"""What pages copy as command line exists: every command is one of the reference's, and every list can be copied."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "dashboard" / "src" / "pages").rglob("*.svelte")) + sorted(
    each for each in (ROOT / "dashboard" / "src" / "pages").rglob("*.ts") if not each.name.endswith(".test.ts")
)
COMMAND = re.compile(r"""[`"'](ironflow(?: [a-z][a-z-]*)+)""")
# Those whose lists are not the API's own, or that are copied as what they do.
NO_LIST = {"overview", "errors", "runs", "run", "compare", "map", "gallery", "sql"}


def test_every_command_that_a_page_copies_is_in_the_reference():
    reference = (ROOT / "docs" / "reference" / "cli.md").read_text()
    known = set(re.findall(r"ironflow(?: [a-z][a-z-]*)+", reference))
    copied = {(each.name, found) for each in PAGES for found in COMMAND.findall(each.read_text())}

    assert len(copied) > 40
    assert [each for each in sorted(copied) if each[1] not in known] == []


def test_every_list_of_things_is_copied():
    pages = [each for each in PAGES if each.name == "Page.svelte" and each.parent.name not in NO_LIST]

    assert [each.parent.name for each in pages if "<CopyAs" not in each.read_text()] == []


def test_what_a_user_named_is_quoted_in_a_copied_command():
    """A name with `$(...)` would run where the command is pasted; a function of parts/copy.ts quotes it."""
    unquoted = re.compile(r'cli="ironflow[^"]*\{|cli=\{`ironflow[^`]*(?:\{JSON\.stringify| \$\{[\w.]+\})')

    assert [(each.name, found) for each in PAGES for found in unquoted.findall(each.read_text())] == []

"""Finds retired words: private names and metaphors that `docs/concepts/glossary.md` replaces with standard terms.

    python -m tests.structure.words                        how many there are in each directory
    python -m tests.structure.words src/ironflow/log ...   each of them, with its file and line

Identifiers are split at `_` and at capitals. Comments, docstrings, texts and pages are searched as prose, where an
ordinary English use of a word may be allowed by its phrase. `EXCEPTIONS` allows a word in a whole file.
"""

import io
import os
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
SEARCHED = (
    "src", "docs", "changes", "tests", "examples", "benchmarks", "dashboard", "editors", "README.md", "CONTRIBUTING.md",
    "Makefile", "pyproject.toml",
)  # fmt: skip
SUFFIXES = {".py", ".md", ".proto", ".sql", ".toml", ".ts", ".svelte"}
# Installed or generated, not written.
NOT_WRITTEN = {"__pycache__", "node_modules", "built", "dist", "schema.d.ts"}

# Words that are retired everywhere, and what the code says instead.
RETIRED = {
    "word words worded wording": "report, settlement, request, frame; in a parser: keyword, token",
    "said told tell tells telling teller": "report, notify, publish, return, describe",
    "hear hears heard hearing hearer": "receive, listen, on_published",
    "side sides": "generation",
    "seat seats seated": "implicit lease",
    "barren": "known gaps",
    "life lives": "incarnation, lifetime, run",
    "graveyard bury buried buries": "dead letters",
    "house houses": "server, composition",
    "room rooms": "feature; capacity, space",
    "floor floors": "layer",
    "waist": "dispatch",
    "ring rings rung ringing bell doorbell kick kicks kicked": "notify, notification",
    "joiner joiners": "commit hook",
    "desk desks": "matcher",
    "face faces": "adapter",
    "whoever whomever somebody nobody anybody everybody someone": "name the process or the user",
    "lest borne manners": "plain words: so that ... not, tolerated, options",
}

# Words that are retired as names only; prose needs them.
RETIRED_NAMES = {
    "say says saying speak speaks spoken speech": "send, report, describe",
    "gone": "closed, expired, deleted",
    "who whom": "client, principal, worker, member",
}

# Names that are retired where they name something that has a term; elsewhere they are ordinary English.
_SLOTS = r"(src/ironflow/features|tests)/(runs|jobs|waits|functions|controls)/|(src/ironflow|tests)/engine/"
RETIRED_IN = {"place": ("slot", _SLOTS)}
RETIRED_IN["places"] = RETIRED_IN["place"]

# Phrases that are retired in prose.
RETIRED_PHRASES = {
    "let go": "release, close",
    "lets go": "release, close",
    "be it": "whether",
    "of which": "whose; a second sentence",
    "has a say": "decides",
}

# Phrases in which a retired word is ordinary English.
ORDINARY = [
    r"(server|client|right|left|write|read|host|other|far|both|either|each|one|two) ?-?sides?",
    r"side[- ]by[- ]side",
    r"side[-_ ]effects?",
    r"key words?",
    r"(retired|few) words",
    r"in other words",
    r"wordlist",
    r"math\.floor|FLOOR\(|floor\(",
    r"real[- ]life",
    r"life ?cycle",
    r"time to live",
    r"house style",
]

# Identifiers that contain a retired word because Python, a library, the wire or a database names them so.
FOREIGN_NAMES = {
    "client_side",
    "join", "joinpath", "is_joined", "floor", "floordiv", "lifespan", "side_effect", "JOIN", "GONE", "Gone",
}  # fmt: skip

# Files in which a word is right, and why.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "tests/structure/words.py": {"*": "the list itself"},
    "tests/structure/test_words.py": {"*": "tests of the list"},
    "src/ironflow/base/sqlnames.py": {"floor": "a function of SQL"},
    "tests/cli/test_context_commands.py": {"words": "COMP_WORDS of bash"},
    "src/ironflow/features/functions/schedules.py": {"place": "a column"},
    "docs/reference/sql.md": {"floor": "a function of SQL"},
    "src/ironflow/features/environment_deletions/rules.py": {"side": "a column"},
    "src/ironflow/features/projections/store.py": {"side": "a column", "seat": "columns"},
    "src/ironflow/features/subscriptions/relay.py": {"told": "the topic that nodes of other releases use"},
    "src/ironflow/features/subscriptions/store.py": {"told": "a column"},
    "src/ironflow/notify/postgres.py": {"rings": "the channel that nodes of other releases use"},
    "src/ironflow/storage/migrations/0009_projections.sql": {"side": "a column", "seat": "columns"},
    "src/ironflow/storage/migrations/0012_system_notices.sql": {"told": "a column"},
    "tests/projections/test_rebuilding.py": {"side": "a column"},
    "tests/nodes/test_kills.py": {"seat": "columns"},
    "tests/nodes/test_taking_over.py": {"seat": "a column"},
    "tests/webhooks/vectors.py": {"everybody": "the secret that GitHub publishes"},
    "tests/notify/test_postgres.py": {"nobody": "the name of a database user"},
}


class Found(NamedTuple):
    path: str
    line: int
    word: str
    text: str


def _index(table: dict[str, str]) -> dict[str, str]:
    return {word: instead for words, instead in table.items() for word in words.split()}


ANYWHERE = _index(RETIRED)
NAMES = ANYWHERE | _index(RETIRED_NAMES) | {name: instead for name, (instead, _) in RETIRED_IN.items()}
INSTEAD = NAMES | RETIRED_PHRASES
_ORDINARY = re.compile(r"(?<![A-Za-z])(?:" + "|".join(ORDINARY) + r")", re.IGNORECASE)
_PHRASES = re.compile(r"(?<![A-Za-z])(" + "|".join(RETIRED_PHRASES) + r")(?![A-Za-z])", re.IGNORECASE)
_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@cache
def pieces(name: str) -> tuple[str, ...]:
    """The words of an identifier: `lease_ends_at` and `leaseEndsAt` are lease, ends, at."""
    return tuple(piece.lower() for piece in _PIECES.findall(name))


@cache
def in_name(name: str) -> tuple[str, ...]:
    """The retired words in an identifier."""
    return () if name in FOREIGN_NAMES else tuple(piece for piece in pieces(name) if piece in NAMES)


def in_prose(text: str) -> Iterator[tuple[int, str]]:
    """The retired words in prose, each with the number of line breaks before it."""
    plain = _ORDINARY.sub(lambda match: re.sub(r"[A-Za-z]", "*", match[0]), text)
    hits = [(match.start(), match[1].lower()) for match in _PHRASES.finditer(plain)]
    for match in _NAME.finditer(plain):
        name = match[0]
        if name.isalpha() and (name.islower() or name.istitle() or name.isupper()):
            hits += [(match.start(), name.lower())] if name.lower() in ANYWHERE else []
        else:
            hits += [(match.start(), word) for word in in_name(name)]
    for start, word in sorted(hits):
        yield plain.count("\n", 0, start), word


def in_python(text: str) -> Iterator[tuple[int, str]]:
    """The retired words in a Python file, with their lines."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield from ((token.start[0], word) for word in in_name(token.string))
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            yield from ((token.start[0] + lines, word) for lines, word in in_prose(token.string))


def files(paths: list[str]) -> Iterator[Path]:
    for path in paths:
        start = ROOT / path
        if start.is_file():
            yield start
            continue
        for folder, folders, names in os.walk(start):
            folders[:] = sorted(set(folders) - NOT_WRITTEN)
            for name in sorted(set(names) - NOT_WRITTEN):
                if Path(name).suffix in SUFFIXES:
                    yield Path(folder, name)


def found(paths: list[str]) -> Iterator[Found]:
    for file in files(paths):
        relative = str(file.relative_to(ROOT))
        allowed = EXCEPTIONS.get(relative, {})
        if "*" in allowed:
            continue
        text = file.read_text()
        lines = text.splitlines() or [""]
        hits = [(1, word) for word in in_name(file.stem)]
        if file.suffix == ".py":
            hits += in_python(text)
        else:
            hits += [(line + 1, word) for line, word in in_prose(text)]
        for line, word in hits:
            if word not in allowed and (word not in RETIRED_IN or re.match(RETIRED_IN[word][1], relative)):
                yield Found(relative, line, word, lines[line - 1].strip())


def directory(path: str) -> str:
    """The directory that a file is counted in: one feature, one folder of tests, one part of the docs."""
    depth = {"src": 4, "docs": 2, "tests": 2}.get(path.split("/", maxsplit=1)[0], 1)
    return "/".join(path.split("/")[:-1][:depth])


def main(paths: list[str]) -> int:
    if paths:
        hits = list(found([str(Path(path).resolve().relative_to(ROOT)) for path in paths]))
        for hit in hits:
            print(f"{hit.path}:{hit.line}: {hit.word}: {hit.text[:140]}")
        used = Counter(hit.word for hit in hits)
        for word, count in used.most_common():
            print(f"{count:6} {word:10} instead: {INSTEAD[word]}")
    else:
        hits = list(found(list(SEARCHED)))
        for folder, count in sorted(Counter(directory(hit.path) for hit in hits).items()):
            print(f"{count:6} {folder}")
        print(f"{len(hits):6} in all")
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Retired words stay out of the tree; `python -m tests.structure.words` lists them with their replacements."""

from pathlib import Path

import pytest

from tests.structure.words import EXCEPTIONS, ROOT, SEARCHED, found, in_prose, in_python, pieces


def test_no_file_has_a_retired_word():
    assert [f"{hit.path}:{hit.line}: {hit.word}" for hit in found(list(SEARCHED))] == []


def test_an_exception_is_for_a_word_that_its_file_has():
    spared = {path: set(words) - {"*"} for path, words in EXCEPTIONS.items() if (ROOT / path).exists()}
    assert set(EXCEPTIONS) - set(spared) == set()
    for path, words in spared.items():
        text = Path(ROOT / path).read_text().lower()
        assert {word for word in words if word not in text} == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The server-side cursor has a side effect.", []),
        ("It is said that nobody hears.", ["said", "nobody", "hears"]),
        ("`hasSeat` and `seat_ends_at`", ["seat", "seat"]),
        ("a lifetime, the surface and a string", []),
        ("The list, of which one is taken", ["of which"]),
    ],
)
def test_prose_is_searched_for_words_and_phrases(text: str, words: list[str]):
    assert [word for _, word in in_prose(text)] == words


def test_python_is_searched_in_names_comments_and_texts():
    code = '# told once\ndef say(sides: int) -> str:\n    return ", ".join(["a room", "b"])\n'
    assert list(in_python(code)) == [(1, "told"), (2, "say"), (2, "sides"), (3, "room")]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("lease_ends_at", ("lease", "ends", "at")),
        ("leaseEndsAt", ("lease", "ends", "at")),
        ("HTTPSide", ("http", "side")),
    ],
)
def test_a_name_is_split_at_underscores_and_capitals(name: str, parts: tuple[str, ...]):
    assert pieces(name) == parts

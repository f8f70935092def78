"""Splits the SQL of users into tokens, so strictly that every database splits it the same way.

Comments are removed. Refused is what databases read differently, or what hides one token in another: `$$` texts, texts
with a letter before them (`E'…'`), names in `[…]` or backticks, backslashes, `?` and `@` parameters.
Parameters are `:name` or `:data.path.to.field`.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast

from ironflow.base.errors import InvalidArgument

DialectName = Literal["sqlite", "postgres"]
Kind = Literal["name", "quoted", "text", "number", "param", "sign"]

TEXT_BYTES_MAX = 64 * 1024
TOKENS_MAX = 5000
DEPTH_MAX = 40

_TOKEN = re.compile(
    r"""(?P<gap>\s+|--[^\n]*(?:\n|$)|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)
    |(?P<text>'(?:[^'\\]|'')*'(?!'))
    |(?P<quoted>"(?:[^"\\]|"")+"(?!"))
    |(?P<param>(?<![:\w]):[A-Za-z_]\w*(?:\.\w+)*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<sign>\#>>|->>|->|::|\|\||<=|>=|<>|!=|==|-(?!-)|/(?!\*)|\*(?!/)|[+%<>=(),.;])""",
    re.VERBOSE | re.ASCII,
)
# A letter directly before a text, as in `E'…'`, changes its meaning.
_PREFIXED = re.compile(r"[A-Za-z_&]'")


class InvalidSql(InvalidArgument):
    """The SQL is not accepted: see docs/reference/sql.md for what is."""

    code = "INVALID_SQL"


@dataclass(frozen=True, slots=True)
class Token:
    """kind: `name` for keywords and unquoted names, `quoted` for names in `"…"`, `text` for string literals, `sign` for
    operators and punctuation. text: as written. apart: white space or a comment is before it.
    """

    kind: Kind
    text: str
    apart: bool

    @property
    def name(self) -> str:
        """A keyword or unquoted name in lower case; empty for other kinds."""
        return self.text.lower() if self.kind == "name" else ""


def tokens_of(text: str, what: str) -> list[Token]:
    """The tokens of `text`. Raises InvalidSql naming `what` and the position."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as fault:
        raise InvalidSql(f"{what} has half a surrogate pair at {fault.start}; no database can store it.") from None
    if size > TEXT_BYTES_MAX:
        raise InvalidSql(f"{what} is larger than {TEXT_BYTES_MAX} bytes.")
    found: list[Token] = []
    position, apart, depth = 0, False, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or _PREFIXED.match(text, position):
            raise InvalidSql(f"{what} cannot be read from {_excerpt(text, position)} on.{_advice(text, position)}")
        kind = cast("Kind | Literal['gap']", match.lastgroup)
        position = match.end()
        if kind == "gap":
            apart = True
            continue
        token = Token(kind, match[0], apart)
        if kind == "name" and text[position : position + 1] in ("'", "&") and text[position : position + 2] != "&&":
            raise InvalidSql(f"{what} has {_excerpt(text, match.start())}: write texts as plain '…'.")
        apart = False
        depth += (match[0] == "(") - (match[0] == ")")
        if depth < 0:
            raise InvalidSql(f"{what} closes a bracket that is not open, at {_excerpt(text, match.start())}.")
        if depth > DEPTH_MAX or len(found) >= TOKENS_MAX:
            raise InvalidSql(f"{what} is too long or nested deeper than {DEPTH_MAX} brackets.")
        found.append(token)
    if depth:
        raise InvalidSql(f"{what} leaves a bracket open.")
    return found


def statements_of(tokens: list[Token]) -> list[list[Token]]:
    """The tokens split at `;`, without empty statements."""
    statements: list[list[Token]] = [[]]
    for token in tokens:
        if token.text == ";" and token.kind == "sign":
            statements.append([])
        else:
            statements[-1].append(token)
    return [each for each in statements if each]


def numbered(tokens: list[Token], dialect: DialectName) -> tuple[str, tuple[str, ...]]:
    """The text for the database driver, and its parameter names: `p0` is bound to the first, and so on."""
    names: list[str] = []
    pieces: list[str] = []
    for token in tokens:
        text = token.text
        if token.kind == "param":
            name = text[1:]
            if name not in names:
                names.append(name)
            text = f"p{names.index(name)}"
            text = f":{text}" if dialect == "sqlite" else f"%({text})s"
        elif dialect == "postgres":
            text = text.replace("%", "%%")
        pieces.append((" " if token.apart else "") + text)
    return "".join(pieces).strip(), tuple(names)


def _excerpt(text: str, position: int) -> str:
    return repr(text[position : position + 20])


def _advice(text: str, position: int) -> str:
    match text[position : position + 1]:
        case "'" | '"':
            return " A quote is not closed, or there is a backslash in it."
        case "$" | "?" | "@" | ":":
            return " Parameters are written :name or :data.field, texts as plain '…'."
        case "[" | "`":
            return ' Names are quoted as "…".'
        case "/" | "*":
            return " A comment is not closed, or has another one in it."
        case _:
            return ""

"""Results of the benchmarks: figures, stored as JSON and shown as one table."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import apsw
import msgspec

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "internals" / "benchmarks.md"
_BEGIN, _END = "<!-- answers: written by python -m benchmarks -->", "<!-- end of answers -->"


class Figure(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One number.

    target: that of DESIGN.md 5, if there is one. better: the direction of improvement. limit: name of the limit of the
    machine to compare with. beside: the value divided by that limit.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    better: Literal["more", "less"] = "more"
    limit: str = ""
    beside: float | None = None

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        reached = self.value >= self.target if self.better == "more" else self.value <= self.target
        return "reached" if reached else "missed"


class Answer(msgspec.Struct, kw_only=True):
    """The result of one benchmark. load: runnable processes of the machine just before."""

    benchmark: str
    at: datetime
    machine: str
    load: float
    figures: list[Figure]


def answer(benchmark: str, figures: list[Figure], limits: dict[str, Figure], load: float) -> Answer:
    """The result of a run, with its figures compared with the limits of the machine measured in the same run."""
    for figure in figures:
        if figure.limit and (limit := limits.get(figure.limit)) is not None:
            figure.beside = round(figure.value / limit.value, 4)
    return Answer(benchmark=benchmark, at=datetime.now(UTC), machine=machine(), load=round(load, 2), figures=figures)


def machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"SQLite {apsw.sqlite_lib_version()}"
    )


def save(found: Answer) -> None:
    RESULTS.mkdir(exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(found), indent=2)
    (RESULTS / f"{found.benchmark}.json").write_bytes(text + b"\n")


def saved(names: Iterable[str]) -> list[Answer]:
    """The last results, in the order of `names`."""
    files = [RESULTS / f"{name}.json" for name in names]
    return [msgspec.json.decode(file.read_bytes(), type=Answer) for file in files if file.exists()]


def write_page(answers: list[Answer]) -> None:
    """Writes the table into the page, between its markers."""
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    PAGE.write_text(f"{before}{_BEGIN}\n\n{table(answers)}\n{_END}{after}", "utf-8")


def table(answers: list[Answer]) -> str:
    lines = [
        "| benchmark | figure | answer | target | | beside the machine's limit | at |",
        "| --- | --- | ---: | ---: | --- | --- | --- |",
    ]
    for found in answers:
        for figure in found.figures:
            target = "" if figure.target is None else f"{_sign(figure)} {number(figure.target)} {figure.unit}"
            beside = f"{figure.beside:.3g} × {figure.limit}" if figure.beside is not None else ""
            lines.append(
                f"| {found.benchmark} | {figure.name} | {number(figure.value)} {figure.unit} | {target} "
                f"| {figure.verdict} | {beside} | {found.at:%Y-%m-%d %H:%M} |"
            )
    return "\n".join(lines) + "\n"


def _sign(figure: Figure) -> str:
    return "≥" if figure.better == "more" else "≤"


def number(value: float) -> str:
    """A number as text: three significant digits, thousands separated."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"

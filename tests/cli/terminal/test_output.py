import io

import pytest
from rich.console import Console

from ironflow.cli.terminal.output import FittedTable, draw, table


def lines(rendered, width):
    """What a terminal of that width shows, without trailing blanks."""
    written = io.StringIO()
    Console(file=written, width=width, force_terminal=True, color_system=None).print(rendered)
    return [line.rstrip() for line in written.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (40, "STATUS     RUN    EVENT         TOOK"),
        (33, "STATUS     RUN    TOOK"),
        (20, "STATUS     RUN"),
        (16, "STATUS     RUN"),
    ],
)
def test_a_table_on_a_narrow_terminal_leaves_optional_columns_out_instead_of_folding_others(width, headings):
    fitted = FittedTable(
        ["STATUS", "RUN", "EVENT", "TOOK"],
        [["completed", "run_1", "order.placed", "2 s"]],
        optional=["EVENT", "TOOK"],
        whole=["STATUS", "RUN"],
    )

    shown = lines(fitted, width)

    assert shown[0] == headings
    assert len(shown) == 2


def test_headings_are_not_folded():
    shown = lines(table(["FUNCTION", "DATA"], [["f", "x" * 40]]), 24)

    assert shown[0].split() == ["FUNCTION", "DATA"]


def test_ids_are_not_folded():
    event = "evt_01M8PCMR99G12FDJTKWTH8GNQK"

    shown = lines(table(["EVENT", "DATA"], [[event, "x" * 40]]), 50)

    assert shown[1].split()[0] == event


@pytest.mark.parametrize("length", [10, 60, 120])
def test_an_address_is_neither_folded_nor_cut_on_a_narrow_terminal(length):
    address = "https://api.example.com/" + "x" * length
    written = io.StringIO()
    rows = [["open", address, "charge-card, refund-card", "ConnectError: refused by the other side"]]
    drawn = table(["STATE", "ENDPOINT", "FUNCTIONS", "LAST ERROR"], rows)

    draw(Console(file=written, width=60, force_terminal=True, color_system=None), drawn)

    shown = written.getvalue()
    assert address in shown
    assert "STATE" in shown
    assert "LAST ERROR" in shown

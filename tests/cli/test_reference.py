from ironflow.cli.app import COMMANDS
from ironflow.cli.reference import PAGE, page


def test_the_reference_page_is_up_to_date():
    assert PAGE.read_text() == page(), "run: python -m ironflow.cli.reference"


def test_the_reference_page_has_every_command_and_the_global_options_once():
    text = page()

    for name, _, _ in COMMANDS:
        assert f"## ironflow {name}\n" in text
    assert text.count("API key sent with each request") == 1

from ironflow.cli.app import COMMANDS
from ironflow.cli.reference import PAGE, page


def test_the_reference_page_is_what_the_commands_say():
    assert PAGE.read_text() == page(), "run: python -m ironflow.cli.reference"


def test_the_reference_page_has_every_command_and_tells_the_global_options_once():
    text = page()

    for name, _ in COMMANDS:
        assert f"## ironflow {name}\n" in text
    assert text.count("Key to show to the server") == 1

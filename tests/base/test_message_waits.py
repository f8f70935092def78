"""What a wait is for, as people read it."""

import pytest

from ironflow.base.message_waits import awaited_name, awaited_text, message_name


@pytest.mark.parametrize(
    ("event", "text", "name"),
    [("order.paid", "order.paid", None), (awaited_name("prompt"), "message prompt", "prompt")],
)
def test_a_message_is_called_one(event: str, text: str, name: str | None):
    assert (awaited_text(event), message_name(event)) == (text, name)

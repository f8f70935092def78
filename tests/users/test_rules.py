"""Which addresses and passwords are valid, and what roles are called."""

import pytest

from ironflow.features.users import rules
from ironflow.features.users.contract import InvalidUser


@pytest.mark.parametrize("email", ["a@b", "Ada.Lovelace+x@example.com", " ada@example.com ", "ädä@exämple.com"])
def test_an_address_has_one_at_sign_and_no_space(email: str):
    rules.check_email(email)


@pytest.mark.parametrize(
    "email", ["", "ada", "@b", "a@", "a b@c", "a@b@c", "ada\u200b@b", "ada@b\u202e", "ad\u00ada@b"]
)
def test_what_is_no_address_is_refused(email: str):
    with pytest.raises(InvalidUser):
        rules.check_email(email)


def test_addresses_are_compared_without_case_and_width():
    assert rules.email_key(" Ada@Example.COM") == rules.email_key("\uff21da@example.com") == "ada@example.com"


def test_a_short_password_is_refused_and_not_repeated():
    with pytest.raises(InvalidUser) as refused:
        rules.check_password("hunter2")
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize(
    ("given", "role"), [("admin", "role_admin"), ("role_viewer", "role_viewer"), ("role_own", "role_own")]
)
def test_a_built_in_role_has_a_short_name(given: str, role: str):
    assert rules.role_named(given) == role

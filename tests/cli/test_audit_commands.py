"""`ironflow audit` against a real server."""

import uuid


def test_changes_are_shown_and_the_chain_is_verified(ironflow):
    name = f"e-{uuid.uuid4().hex[:8]}"
    ironflow("env", "create", name)

    shown = ironflow("audit", "auth-trail", "--action", "environment.created")
    assert f"environment '{name}' created" in shown.out
    listed = ironflow("audit", "auth-trail", "--limit", "1", "--json").json
    assert len(listed["events"]) == 1
    assert ironflow("audit", "auth-trail", "--org", "org_other").code == 2

    verified = ironflow("audit", "verify")
    assert (verified.code, verified.out.startswith("valid: ")) == (0, True)


def test_a_trail_of_a_run_that_is_not_there_is_not_found(ironflow):
    assert ironflow("audit", "trail", "run_missing").code == 4

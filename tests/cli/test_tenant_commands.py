"""`ironflow org`, `project`, `tenant` and `server limits` against a real server."""

import uuid


def test_organisations_and_projects_are_created_listed_and_deleted(ironflow):
    org = ironflow("org", "create", "acme", "--json").json["id"]
    project = ironflow("project", "create", "shop", "--org", org, "--json").json["id"]
    assert org in ironflow("org", "list").out
    assert "acme" in ironflow("org", "get", org).out
    assert "shop" in ironflow("project", "list", "--org", org).out
    assert ironflow("org", "delete", org, "--yes").code == 5
    assert ironflow("project", "delete", project).code == 2
    assert ironflow("project", "delete", project, "--yes").out == f"deleted {project}\n"
    assert ironflow("org", "delete", org, "--yes").code == 0


def test_a_tenant_is_provisioned_and_its_key_is_the_output(ironflow):
    name = f"t-{uuid.uuid4().hex[:8]}"
    made = ironflow("tenant", "provision", "--name", name, "--env", f"{name}-prod")
    assert made.out.startswith("ifkey_")
    assert f"{name}-prod" in ironflow("env", "list").out
    assert name in ironflow("tenant", "list").out


def test_limits_are_set_shown_and_removed(ironflow):
    assert ironflow("server", "set-limit", "env:busy", "--requests-per-second", "5").code == 0
    assert "env:busy" in ironflow("server", "limits").out
    assert ironflow("server", "clear-limit", "env:busy").code == 0
    assert ironflow("server", "clear-limit", "env:busy").code == 4

"""`ironflow apikey`, `role`, `policy` and `env`, against a server that was started without --dev."""

import json

import pytest

from ironflow.sync import Client
from tests.cli.guarded import Guarded, guarded, server

__all__ = ["guarded", "server"]

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def admin(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRONFLOW_API_KEY", guarded.key)


def test_a_key_is_created_shown_once_rotated_given_roles_and_revoked(ironflow):
    made = ironflow("apikey", "create", "gateway", "--role", "role_viewer", "--expires-in", "90d")
    key = made.out.strip()
    assert key.startswith("ifkey_")
    assert "not shown again" in made.err
    assert ironflow("run", "list", "--api-key", key).code == 0
    (listed,) = [
        each for each in json.loads(ironflow("apikey", "list", "--json").out)["api_keys"] if each["name"] == "gateway"
    ]
    assert key not in ironflow("apikey", "list").out

    rotated = ironflow("apikey", "rotate", listed["id"]).out.strip()
    assert ironflow("run", "list", "--api-key", key).code == 5
    assert ironflow("emit", "order.placed", "--api-key", rotated).code == 5
    assert "role_developer" in ironflow("apikey", "set-roles", listed["id"], "role_developer").out
    assert ironflow("emit", "order.placed", "--api-key", rotated).code == 0
    assert "allowed" in ironflow("apikey", "explain", "events:emit", "--key", listed["id"]).out
    assert "refused" in ironflow("apikey", "explain", "users:write", "--key", listed["id"]).out

    assert ironflow("apikey", "delete", listed["id"]).code == 2
    assert ironflow("apikey", "delete", listed["id"], "--yes").code == 0
    assert ironflow("run", "list", "--api-key", rotated).code == 5
    assert ironflow("apikey", "delete", listed["id"], "--yes").code == 4


def test_the_policy_allow_emit_lets_a_key_emit_and_nothing_else(ironflow):
    policy = json.loads(
        ironflow(
            "policy", "create", "--name", "allow-emit", "--effect", "allow", "--actions", "emit:*", "--resources", "*",
            "--json",
        ).out
    )  # fmt: skip
    role = json.loads(ironflow("role", "create", "emitter", "--json").out)
    assert ironflow("role", "assign-policy", role["id"], policy["id"]).code == 0
    key = ironflow("apikey", "create", "emitter", "--role", role["id"]).out.strip()
    assert ironflow("emit", "order.placed", "--api-key", key).code == 0
    assert ironflow("run", "list", "--api-key", key).code == 5

    assert policy["id"] in ironflow("role", "get", role["id"]).out
    assert "emitter" in ironflow("role", "list").out
    assert "allow-emit" in ironflow("policy", "list").out
    assert "emit:*" in ironflow("policy", "get", policy["id"]).out
    assert ironflow("role", "delete", role["id"], "--yes").code != 0
    assert ironflow("role", "remove-policy", role["id"], policy["id"]).code == 0
    assert ironflow("emit", "order.placed", "--api-key", key).code == 5
    assert ironflow("policy", "delete", policy["id"], "--yes").code == 0


def test_a_key_that_may_only_list_the_runs_of_one_function_lists_those_that_are_pending(ironflow, server, guarded):
    with Client(server, api_key=guarded.key) as client:
        client.functions.register(id="unserved", triggers=[{"event": "visitor.unserved"}], mode="pull")
        (run_id,) = client.emit("visitor.unserved").run_ids
    condition = 'request.function_id == "unserved"'
    given = ["--effect", "allow", "--actions", "runs:read", "--resources", "*", "--condition", condition, "--json"]
    policy = json.loads(ironflow("policy", "create", "--name", "list-unserved", *given).out)
    role = json.loads(ironflow("role", "create", "lister", "--json").out)
    assert ironflow("role", "assign-policy", role["id"], policy["id"]).code == 0
    key = ironflow("apikey", "create", "lister", "--role", role["id"]).out.strip()

    listed = ironflow("run", "list", "--function", "unserved", "--api-key", key)

    assert (listed.code, listed.err) == (0, "")
    assert [row.split()[:2] for row in listed.out.splitlines()[1:]] == [["pending", run_id]]


def test_a_condition_is_tried_with_given_values(ironflow):
    def tried(namespace: str) -> str:
        request = json.dumps({"namespace": namespace})
        return ironflow("policy", "test", "--condition", 'request.namespace == "production"', "--request", request).out

    assert tried("production") != tried("staging")


def test_an_environment_is_created_renamed_and_deleted_with_its_data(ironflow):
    assert ironflow("env", "create", "staging", "--color", "amber").code == 0
    assert ironflow("env", "create", "staging").code != 0
    key = ironflow("apikey", "create", "worker", "--env", "staging").out.strip()
    assert ironflow("emit", "order.placed", "--api-key", key).code == 0
    assert ironflow("env", "rename", "staging", "acceptance").code == 0
    assert "acceptance" in ironflow("env", "list").out

    assert ironflow("env", "delete", "acceptance").code == 2
    assert ironflow("env", "delete", "default", "--yes").code != 0
    deleted = json.loads(ironflow("env", "delete", "acceptance", "--yes", "--json").out)
    assert (deleted["status"], deleted["name"]) == ("deleted", "acceptance")
    assert deleted["rows_removed"] >= 1
    assert ironflow("event", "list", "--env", "acceptance").code != 0
    assert ironflow("emit", "order.placed", "--api-key", key).code == 5
    shown = ironflow("env", "deletions").out
    assert "acceptance" in shown
    assert max(map(len, shown.splitlines())) <= 80

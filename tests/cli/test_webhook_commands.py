"""`ironflow webhook` against a real server."""

import re
import uuid

import pytest

BODY = '{"ref": "main"}'


@pytest.fixture
def source(ironflow):
    """(name, token) of a new source that verifies GitHub's signatures."""
    name = f"github-{uuid.uuid4().hex[:8]}"
    made = ironflow("webhook", "create", name, "--preset", "github", "--secret", "s3cret")
    assert made.code == 0
    assert "not shown again" in made.err
    return name, re.findall(r"token=(ifwh_[0-9a-f]{64})", made.err.replace("\n", ""))[0]


def deliver(ironflow, source, *more, secret="s3cret"):
    name, token = source
    return ironflow(
        "webhook", "test", "--provider", name, "--payload", BODY, "--token", token, "--secret", secret,
        "--header", "X-GitHub-Event=push", *more,
    )  # fmt: skip


def test_a_source_is_created_listed_shown_changed_and_deleted(ironflow, source):
    name, token = source
    listed = ironflow("webhook", "list", "--limit", "1000", "--json").json["sources"]
    assert name in [each["name"] for each in listed]
    shown = ironflow("webhook", "get", name)
    assert token not in shown.out
    assert "github.*" in shown.out
    assert ironflow("webhook", "update", name, "--name", f"{name}-2").code == 0
    assert ironflow("webhook", "get", name).code == 4
    assert ironflow("webhook", "delete", f"{name}-2").code == 2
    assert ironflow("webhook", "delete", f"{name}-2", "--yes").out.startswith("deleted wh_")


def test_a_payload_is_delivered_as_the_provider_does_and_is_in_the_list(ironflow, source, tmp_path):
    first = deliver(ironflow, source, "--header", "X-GitHub-Delivery=d1", "--json").json
    again = deliver(ironflow, source, "--header", "X-GitHub-Delivery=d1")
    (tmp_path / "push.json").write_text(BODY)
    file = ironflow(
        "webhook", "test", "--provider", source[0], "--payload", str(tmp_path / "push.json"), "--token", source[1],
        "--secret", "s3cret", "--header", "X-GitHub-Event=push",
    )  # fmt: skip
    refused = deliver(ironflow, source, secret="guess")

    assert first["event_id"] in again.out
    assert "duplicate" in again.out
    assert file.code == 0
    assert refused.code != 0
    assert "secret" in refused.err
    rejected = ironflow("webhook", "deliveries", "--provider", source[0], "--status", "rejected", "--json").json
    assert [each["signature_key"] for each in rejected["deliveries"]] == ["invalid"]
    assert BODY in ironflow("webhook", "deliveries", first["delivery_id"]).out
    assert "github.push" in ironflow("webhook", "deliveries", "--provider", source[0]).out


def test_a_dry_run_shows_the_text_that_was_signed(ironflow, source):
    good = ironflow(
        "webhook", "test", "--provider", source[0], "--payload", BODY, "--secret", "s3cret", "--dry-run",
        "--header", "X-GitHub-Event=push",
    )  # fmt: skip
    bad = ironflow("webhook", "test", "--provider", source[0], "--payload", BODY, "--secret", "x", "--dry-run")
    assert (good.code, bad.code) == (0, 1)
    assert BODY in good.out
    assert "github.push" in good.out
    assert "another than the computed" in bad.out
    assert ironflow("webhook", "deliveries", "--provider", source[0], "--json").json["deliveries"] == []


def test_refused_deliveries_are_replayed_once_the_secret_is_replaced(ironflow, source):
    deliver(ironflow, source, secret="right")
    name = source[0]
    assert ironflow("webhook", "replay", "--provider", name, "--status", "rejected", "--yes").code == 1
    deliver(ironflow, source, secret="right")
    assert ironflow("webhook", "rotate-secret", name, "--secret", "right", "--grace", "0").code == 0
    replayed = ironflow("webhook", "replay", "--provider", name, "--status", "rejected", "--yes", "--json")
    assert (replayed.code, [each["status"] for each in replayed.json["replayed"]]) == (0, ["accepted"])
    one = replayed.json["replayed"][0]["delivery_id"]
    assert ironflow("webhook", "replay", one).code == 0


def test_what_cannot_be_is_refused_with_advice(ironflow, source):
    for arguments, advice in (
        (["test", "--provider", source[0], "--payload", "{}"], "--token"),
        (["replay"], "--provider"),
        (["replay", "--provider", source[0]], "--status"),
        (["replay", "--provider", source[0], "--status", "rejected"], "--yes"),
        (["rotate-token", source[0]], "--yes"),
        (["test", "--provider", source[0], "--payload", "{}", "--header", "rubbish"], "NAME=VALUE"),
        (["create", "x", "--config", "{"], "verify_config"),
        (["create", "x", "--preset", "gitlub"], "github, stripe"),
    ):
        refused = ironflow("webhook", *arguments)
        assert refused.code != 0
        assert advice in refused.err
    assert "shopify" in ironflow("webhook", "presets").out
    assert ironflow("webhook", "rotate-token", source[0], "--yes").code == 0

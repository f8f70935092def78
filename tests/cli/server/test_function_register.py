"""`ironflow function register`."""

import json


def test_a_function_is_registered_by_options(ironflow):
    result = ironflow(
        "function", "register", "cli-settle", "--on", "cli.paid", "--when", "data.total > 1", "--mode", "push",
        "--endpoint-url", "https://shop.example/api/ironflow", "--timeout", "5m",
    )  # fmt: skip
    assert result.out == "registered cli-settle, version 1\n"

    found = ironflow("function", "get", "cli-settle", "--json").json
    assert (found["triggers"][0]["event"], found["timeout_ms"]) == ("cli.paid", 300_000)
    assert (found["preferred_mode"], found["endpoint_url"]) == (
        "push",
        "https://shop.example/api/ironflow",
    )


def test_a_function_is_registered_by_its_documented_configuration(ironflow):
    config = {"id": "cli-config", "triggers": [{"event": "cli.sent"}], "retry": {"maxAttempts": 7}}
    assert ironflow("function", "register", "--config", json.dumps(config)).out == "registered cli-config, version 1\n"
    assert ironflow("function", "register", "--config", json.dumps(config)).out == "updated cli-config, version 1\n"
    assert ironflow("function", "get", "cli-config", "--json").json["retry"]["max_attempts"] == 7


def test_settings_in_two_places_and_wrong_ones_are_refused(ironflow):
    for arguments in ([], ["f", "--config", "{}"], ["--config", "[]"], ["--config", '{"id": "f"}', "--name", "x"]):
        assert ironflow("function", "register", *arguments).code == 2
    result = ironflow("function", "register", "--config", '{"id": "f", "endpoint": "x"}')
    assert result.code != 0
    assert "'endpoint' is none of its settings" in result.err

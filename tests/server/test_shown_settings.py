"""The settings as the server shows them: each with its origin, secrets as stars."""

import logging

import msgspec
import pytest

from ironflow.base.settings import OPERATORS, Settings, setting_fields, shown_value
from ironflow.features.server_state import contract
from ironflow.server.telemetry.exporting import Outage
from tests.support.keys import SEED, open_guarded
from tests.support.server import Server


async def test_every_setting_is_shown_with_its_default_and_its_origin(server: Server):
    shown = (await server.call(contract.settings)).settings

    assert [each.name for each in shown] == [each.name for each in setting_fields()]
    port = next(each for each in shown if each.name == "port")
    assert (port.variable, msgspec.json.decode(port.default), port.origin) == ("IRONFLOW_PORT", 9123, "default")


def test_secrets_and_the_password_of_the_database_are_stars():
    settings = Settings(db="postgresql://shop:secret@host/shop", bootstrap_admin_key="ifkey_" + "1" * 30)

    shown = {each.name: shown_value(settings, each) for each in setting_fields()}

    assert shown["db"] == "postgresql://shop:***@host/shop"
    assert shown["bootstrap_admin_key"] == "***"
    assert "secret" not in str(shown.values())


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://shop:secret@collector:4318", "http://shop:***@collector:4318"),
        ("shop:secret@collector:4318", "shop:***@collector:4318"),
        ("http://collector:4318/a@b", "http://collector:4318/a@b"),
        ("collector:4318", "collector:4318"),
    ],
)
def test_the_password_of_the_collector_is_not_shown(given: str, shown: str, caplog: pytest.LogCaptureFixture):
    settings = Settings(otel_endpoint=given)

    assert {each.name: shown_value(settings, each) for each in setting_fields()}["otel_endpoint"] == shown
    with caplog.at_level(logging.INFO):
        Outage(given).add(False)
    assert [each.__dict__["endpoint"] for each in caplog.records] == [shown]


async def test_a_key_of_one_environment_sees_no_path_and_no_provider(database_url: str):
    settings = {"oidc_issuer": "https://login.example.com", "oidc_client_id": "shop", "max_attempts": 7}
    settings["origins"] = {"max_attempts": "/etc/ironflow.toml", "lease_ms": "the environment"}
    async with open_guarded(database_url, **settings) as server:
        await server.an_environment("staging")
        tenant = (await server.a_key("role_admin", env="staging"))["key"]

        seen = {key: (await server.request("GET", "/api/v1/settings", key=key))["settings"] for key in (SEED, tenant)}

    operator, limited = ({each["name"]: (each["value"], each["origin"]) for each in seen[key]} for key in seen)
    assert operator["oidc_issuer"][0] == "https://login.example.com"
    assert operator["max_attempts"] == (7, "/etc/ironflow.toml")
    assert limited["max_attempts"] == (7, "a file")
    assert limited["lease_ms"] == operator["lease_ms"]
    assert {limited[name][0] for name in ("db", "oidc_issuer", "oidc_client_id")} == {"***"}
    assert limited["tls_cert"][0] == ""
    given = {each.name for each in setting_fields() if each.name.endswith(("_file", "_cert", "_key", "_command"))}
    secret = {each.name for each in setting_fields() if each.metadata["secret"]}
    assert given - secret - {"metrics_key"} <= OPERATORS

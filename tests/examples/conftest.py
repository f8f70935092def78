"""The examples run as in their READMEs: with a server and a worker in separate processes."""

import pytest

from ironflow.testing import plugin

# With the package installed, pytest finds the plugin by itself.
ironflow_server = plugin.ironflow_server
ironflow_client = plugin.ironflow_client


@pytest.fixture(autouse=True)
def _no_developer_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IRONFLOW_SERVER_URL", "IRONFLOW_API_KEY", "IRONFLOW_ENV"):
        monkeypatch.delenv(name, raising=False)

"""Which server is called, and as which client: address, API key, environment."""

import os
from dataclasses import dataclass, field

from ironflow.base.version import VERSION
from ironflow.sdk.wire.world import present

DEFAULT_URL = "http://localhost:9123"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """environment: name of one, empty for the one that the key belongs to."""

    url: str = DEFAULT_URL
    api_key: str = field(default="", repr=False)
    environment: str = ""

    @classmethod
    def resolve(cls, url: str | None = None, api_key: str | None = None, environment: str | None = None) -> "Endpoint":
        """The arguments, else IRONFLOW_SERVER_URL, IRONFLOW_API_KEY and IRONFLOW_ENV, else the local server.

        Without an address in a time machine, its server; the variables are those of another one.
        """
        if (world := present.get()) is not None and url in (None, world.url):
            return cls(url=world.url, api_key=api_key or "", environment=environment or "")
        return cls(
            url=url or os.environ.get("IRONFLOW_SERVER_URL") or DEFAULT_URL,
            api_key=api_key or os.environ.get("IRONFLOW_API_KEY") or "",
            environment=environment or os.environ.get("IRONFLOW_ENV") or "",
        )

    def headers(self) -> dict[str, str]:
        """The headers that every request carries. Source: protocol/rest.md 1.1."""
        headers = {"X-Ironflow-SDK": f"python/{VERSION}", "User-Agent": f"ironflow-python/{VERSION}"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        if self.environment:
            headers["X-Ironflow-Environment"] = self.environment
        return headers

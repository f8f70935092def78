"""`client.config`: JSON documents by name."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from ironflow.features.config import contract
from ironflow.features.config.contract import ConfigSummary
from ironflow.sdk.calls import Calls
from ironflow.sdk.payload import to_payload
from ironflow.sdk.views import ConfigDocument, view


class Config:
    """Config documents: JSON objects by name."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get(self, name: str) -> ConfigDocument:
        """A document with its revision. Raises ConfigNotFound."""
        return view(ConfigDocument, await self._calls.call(contract.get_config, contract.NamedConfig(name=name)))

    async def set(
        self, name: str, data: Mapping[str, Any], *, revision: int | None = None, create: bool = False
    ) -> int:
        """Replaces a document, or makes it; answers the new revision. Raises InvalidConfig, ConfigConflict.

        revision: only if the document is at it. create: only if there is none of that name.
        """
        return await self._write(contract.set_config, name, data, revision, create)

    async def patch(self, name: str, data: Mapping[str, Any], *, revision: int | None = None) -> int:
        """Replaces the members that `data` has and leaves the others; answers the new revision.

        Makes the document when there is none. Patches of different members made at once all hold.
        revision: only if the document is at it. Raises InvalidConfig, ConfigConflict.
        """
        return await self._write(contract.patch_config, name, data, revision, create=False)

    async def list(self, *, page_size: int = 1000) -> AsyncIterator[ConfigSummary]:
        """Every document by name, without its content."""
        async for page in self._calls.pages(contract.list_configs, contract.ListConfigs(limit=page_size)):
            for each in page.configs:
                yield each

    async def delete(self, name: str, *, revision: int | None = None) -> None:
        """Deletes a document; deleting nothing is no error.

        revision: only if the document is at it. Raises ConfigConflict.
        """
        if_match = None if revision is None else str(revision)
        await self._calls.call(contract.delete_config, contract.DeleteConfig(name=name, if_match=if_match))

    async def _write(
        self, operation: Any, name: str, data: Mapping[str, Any], revision: int | None, create: bool
    ) -> int:
        request = contract.SetConfig(
            name=name,
            data=to_payload(data, f"the document {name!r}"),
            if_match=None if revision is None else str(revision),
            if_none_match="*" if create else None,
        )
        return (await self._calls.call(operation, request)).revision

"""`client.config`: JSON documents by name."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from msgspec.structs import replace

from ironflow.base.errors import IronflowError
from ironflow.features.config import contract
from ironflow.features.config.contract import ConfigSummary
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing
from ironflow.sdk.client.views import ConfigChange, ConfigDocument, view
from ironflow.sdk.values.payload import from_payload, to_payload
from ironflow.sdk.wire.reconnect import Reconnect


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

    def list(self, *, page_size: int = 1000) -> Listing[ConfigSummary]:
        """Every document by name, without its content."""
        return Listing(
            self._calls, contract.list_configs, contract.ListConfigs(limit=page_size), lambda page: page.configs
        )

    async def delete(self, name: str, *, revision: int | None = None) -> None:
        """Deletes a document; deleting nothing is no error.

        revision: only if the document is at it. Raises ConfigConflict.
        """
        if_match = None if revision is None else str(revision)
        await self._calls.call(contract.delete_config, contract.DeleteConfig(name=name, if_match=if_match))

    async def watch(
        self,
        name: str,
        *,
        after: int | None = None,
        initial: bool = False,
        on_error: Callable[[IronflowError], object] | None = None,
        reconnect: Reconnect | None = None,
    ) -> AsyncGenerator[ConfigChange, None]:
        """Changes of a document as they are committed, for ever; goes on after the last when the connection breaks.

        A document that does not exist yet is waited for. after: begin after that revision. initial: the document as it
        is comes first. on_error: sees every failure after which it connects again. reconnect: None
        for the client's own. Close it to stop watching.
        """
        request = contract.WatchConfig(name=name, after=after, initial=initial)

        def moved(request: contract.WatchConfig, frame: contract.ConfigFrame) -> contract.WatchConfig:
            return replace(request, after=frame.revision, initial=False)

        async with aclosing(self._calls.follow(contract.watch_config, request, moved, on_error, reconnect)) as frames:
            async for frame in frames:
                data = None if frame.data is None else from_payload(frame.data)
                yield ConfigChange(name=frame.name, data=data, revision=frame.revision, updated_at=frame.updated_at)

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

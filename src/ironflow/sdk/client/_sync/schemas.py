# Generated from ironflow/sdk/client/features/schemas.py by generate_sync; edit that file.
"""`client.schemas`: what the data of events looks like, by name and version.

Asked by RPC where REST has the event's name in its path, for a name may hold slashes.
"""

from collections.abc import Mapping
from typing import Any

from ironflow.base.json import Json
from ironflow.features.schemas import contract
from ironflow.features.schemas.contract import EventsChecked
from ironflow.sdk.client._sync.calls import Calls
from ironflow.sdk.client._sync.listing import Listing
from ironflow.sdk.client.views import EventSchema, UpcastTrial, schema_view
from ironflow.sdk.values.definitions import EventDefinition
from ironflow.sdk.values.payload import Raw, from_payload, to_payload


class Schemas:
    """JSON Schemas of events. What the server does with events that do not fit is its own setting."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def register(
        self,
        name: str | EventDefinition,
        version: int = 1,
        schema: Mapping[str, Any] | bool | None = None,
        *,
        description: str = "",
        reason: str = "",
    ) -> str:
        """Registers the schema of an event's version; `created` or `updated`.

        name: or a definition, which has the other fields.
        Raises InvalidSchema, ValidationError for a type without a schema.
        """
        if isinstance(name, EventDefinition):
            name, version, schema = name.name, name.version, name.json_schema() if schema is None else schema
        text = bytes(to_payload(True if schema is None else schema, f"the schema of event {name!r}")).decode()
        request = contract.RegisterSchema(
            event_name=name, version=version, schema_json=text, description=description, change_reason=reason
        )
        return (self._calls.call(contract.register, request)).status

    def list(self, *, name: str = "", page_size: int = 100) -> Listing[EventSchema]:
        """Schemas by event name and version. name: only of this event; may hold `*` and `>`."""
        request = contract.ListSchemas(event_name=name, limit=page_size)
        return Listing(self._calls, contract.list_, request, lambda page: [schema_view(each) for each in page.schemas])

    def get(self, name: str, version: int = 0) -> EventSchema:
        """The schema of an event's version, 0 for the latest. Raises SchemaNotFound."""
        request = contract.GetSchema(event_name=name, version=version)
        return schema_view(self._calls.call(contract.get, request, prefer="rpc"))

    def delete(self, name: str, version: int, *, reason: str = "") -> None:
        """Deletes the schema of an event's version. Raises SchemaNotFound."""
        request = contract.DeleteSchema(event_name=name, version=version, change_reason=reason)
        self._calls.call(contract.delete, request, prefer="rpc")

    def test_upcast(self, name: str, data: Any, from_version: int, to_version: int) -> UpcastTrial:
        """What the server makes of data of one version in another: a step for each version between them.

        Upcasters are code of workers, so the data of a server is unchanged; `UpcasterRegistry.upcast` runs your own.
        """
        payload = Json(bytes(to_payload(data, f"the data of event {name!r}")))
        request = contract.TestUpcast(event_name=name, from_version=from_version, to_version=to_version, data=payload)
        tried = self._calls.call(contract.test_upcast, request)
        return UpcastTrial(data=from_payload(Raw(bytes(tried.data))), steps_applied=tried.steps_applied)

    def check_events(
        self,
        name: str,
        schema: Mapping[str, Any] | bool | None = None,
        *,
        version: int = 0,
        of_version: int = 0,
        limit: int = 200,
    ) -> EventsChecked:
        """Holds the newest recorded events of a name to a schema, as before it is registered; nothing is changed.

        schema: None for the one that is registered for `version`, 0 for the latest. of_version: only events of this
        version, 0 for all, among the newest 10,000. limit: at most 1000 events. Raises SchemaNotFound, InvalidSchema.
        """
        text = "" if schema is None else bytes(to_payload(schema, f"the schema of event {name!r}")).decode()
        request = contract.CheckEvents(
            event_name=name, schema_json=text, version=version, of_version=of_version, limit=limit
        )
        return self._calls.call(contract.check_events, request)

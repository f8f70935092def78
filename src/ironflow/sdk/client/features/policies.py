"""`client.policies`: rules that allow or deny actions on resources."""

from builtins import list as list_
from collections.abc import Mapping
from typing import Any

from ironflow.features.policies import contract
from ironflow.features.policies.contract import Policy, PolicyTemplate, PolicyVersion, Tried
from ironflow.sdk.client.connection.calls import Calls
from ironflow.sdk.client.connection.listing import Listing
from ironflow.sdk.client.connection.paging import ByVersion


class Policies:
    """Policies. They take effect through the roles that have them; a deny wins over every allow."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(
        self, name: str, *, effect: str = "allow", actions: str, resources: str = "*", condition: str = ""
    ) -> Policy:
        """A new policy. Raises InvalidPolicy, InvalidCondition.

        actions: such as `events:emit, runs:*`. resources: such as `events/order.*`. condition: CEL.
        """
        request = contract.CreatePolicy(
            name=name, effect=effect, actions=actions, resources=resources, condition=condition
        )
        return await self._calls.call(contract.create, request)

    def list(self, *, page_size: int = 1000) -> Listing[Policy]:
        """Every policy by id."""
        request = contract.ListPolicies(limit=page_size, paged=True)
        return Listing(self._calls, contract.list_, request, lambda page: page.policies)

    async def get(self, policy_id: str) -> Policy:
        """One policy. Raises PolicyNotFound."""
        return await self._calls.call(contract.get, contract.NamedPolicy(id=policy_id))

    async def update(
        self,
        policy_id: str,
        *,
        name: str | None = None,
        effect: str | None = None,
        actions: str | None = None,
        resources: str | None = None,
        condition: str | None = None,
    ) -> Policy:
        """Changes what is given. condition: an empty text removes it. Raises PolicyNotFound, InvalidPolicy."""
        request = contract.UpdatePolicy(
            id=policy_id, name=name, effect=effect, actions=actions, resources=resources, condition=condition
        )
        return await self._calls.call(contract.update, request)

    async def delete(self, policy_id: str) -> None:
        """Deletes a policy and takes it from every role. Raises PolicyNotFound."""
        await self._calls.call(contract.delete, contract.NamedPolicy(id=policy_id))

    def versions(self, policy_id: str, *, page_size: int = 100) -> Listing[PolicyVersion]:
        """What a policy is and was, newest first. Raises PolicyNotFound."""
        request = contract.ListVersions(id=policy_id, before=0, limit=page_size)
        paging = ByVersion("next_before", "before")
        return Listing(self._calls, contract.versions, request, lambda page: page.versions, paging)

    async def rollback(self, policy_id: str, version: int) -> Policy:
        """Makes a policy what it was at a version, as a new version. Raises PolicyNotFound, PolicyVersionNotFound."""
        return await self._calls.call(contract.rollback, contract.RollbackPolicy(id=policy_id, version=version))

    async def templates(self) -> list_[PolicyTemplate]:
        """Policies that are often needed."""
        return (await self._calls.call(contract.templates, contract.ListTemplates())).templates

    async def install_template(self, template: str, *, name: str = "") -> Policy:
        """Creates a policy from a template. name: of the policy, empty for the template's. Raises TemplateNotFound."""
        return await self._calls.call(contract.install, contract.InstallTemplate(template=template, name=name))

    async def test(
        self,
        *,
        policy_id: str = "",
        condition: str = "",
        request: Mapping[str, Any] | None = None,
        subject: Mapping[str, Any] | None = None,
    ) -> Tried:
        """Evaluates a policy's condition, or `condition`, with given values."""
        asked = contract.TryPolicy(
            policy_id=policy_id, condition=condition, request=dict(request or {}), subject=dict(subject or {})
        )
        return await self._calls.call(contract.try_, asked)

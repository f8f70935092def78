"""What happens: one method for each operation of the feature."""

from typing import Any

from ironflow.base.call import Call
from ironflow.base.condition import condition
from ironflow.base.errors import PermissionDenied
from ironflow.base.ids import Ids
from ironflow.base.operation import Operation
from ironflow.base.time import to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.policies import contract, in_tx, rules, store
from ironflow.features.policies.rules import PolicyRow
from ironflow.features.policies.templates import TEMPLATES
from ironflow.storage.port import Database, Tx

DEFAULT_ORG = "org_default"
VERSIONS_KEPT = 100
_FIELDS = ("name", "effect", "actions", "resources", "condition")


class Policies:
    """Rules that allow or deny. A change reaches every key that it concerns, on every node."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db, self._ids = db, ids

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.list_: self.list_,
            contract.get: self.get,
            contract.update: self.update,
            contract.delete: self.delete,
            contract.try_: self.try_,
            contract.versions: self.versions,
            contract.rollback: self.rollback,
            contract.templates: self.templates,
            contract.install: self.install,
        }

    async def create(self, call: Call, request: contract.CreatePolicy) -> contract.Policy:
        check_all_environments(call, "policies")
        rules.check_policy(request.effect, request.actions, request.resources, request.condition)
        policy = PolicyRow(
            id=self._ids.new("policy"),
            org_id=request.org_id or org_of(call),
            name=request.name,
            effect=request.effect,
            actions=request.actions,
            resources=request.resources,
            condition=request.condition,
            created_at=call.now,
            updated_at=call.now,
            changed_by=call.principal.name or "api",
        )

        def change(tx: Tx) -> None:
            store.add(tx, policy)
            _note(tx, call, contract.create, request, "policy.created", None, policy)

        await self._db.write(change)
        return _message(policy)

    async def list_(self, call: Call, request: contract.ListPolicies) -> contract.Policies:
        found = await self._db.read(
            lambda tx: store.policies_after(tx, request.org_id, request.cursor, request.limit, orgs_seen(call))
        )
        more = found[-1].id if len(found) == request.limit else None
        return contract.Policies(policies=[_message(each) for each in found], next_cursor=more)

    async def get(self, call: Call, request: contract.NamedPolicy) -> contract.Policy:
        return _message(await self._db.peek(lambda tx: in_tx.policy(tx, request.id, orgs_seen(call))))

    async def update(self, call: Call, request: contract.UpdatePolicy) -> contract.Policy:
        check_all_environments(call, "policies")
        check_unlimited(call, "Policies")
        given = {name: value for name in _FIELDS if (value := getattr(request, name)) is not None}

        def change(tx: Tx) -> PolicyRow:
            old = store.policy(tx, request.id, to_write=True)
            if old is None:
                raise contract.PolicyNotFound(f"There is no policy {request.id!r}.")
            return _change(tx, call, contract.update, request, "policy.updated", old, given)

        return _message(await self._db.write(change))

    async def delete(self, call: Call, request: contract.NamedPolicy) -> None:
        check_all_environments(call, "policies")
        check_unlimited(call, "Policies")

        def change(tx: Tx) -> None:
            old = in_tx.policy(tx, request.id)
            store.delete(tx, old.id)
            store.drop_versions(tx, old.id, old.version)
            _note(tx, call, contract.delete, request, "policy.deleted", old, None)
            tx.notify(in_tx.CHANGED, f"policy:{request.id}")

        await self._db.write(change)

    async def try_(self, call: Call, request: contract.TryPolicy) -> contract.Tried:
        effect, source = "allow", request.condition
        if request.policy_id:
            policy = await self._db.peek(lambda tx: in_tx.policy(tx, request.policy_id, orgs_seen(call)))
            effect, source = policy.effect, policy.condition
        now = to_datetime(call.now).isoformat()
        held = condition(source).holds(request.request, request.subject, now) if source else True
        applies = effect == "deny" if held is None else held
        return contract.Tried(holds=bool(held), decided=held is not None, effect=effect if applies else "none")

    async def versions(self, call: Call, request: contract.ListVersions) -> contract.PolicyVersions:
        def look(tx: Tx) -> list[contract.PolicyVersion]:
            policy = in_tx.policy(tx, request.id, orgs_seen(call))
            below = request.before or policy.version + 1
            current = [_version(policy)] if policy.version < below else []
            old = store.versions_below(tx, policy.id, below, request.limit + 1)
            return current + [_old_version(each) for each in old]

        found = await self._db.read(look)
        page = found[: request.limit]
        more = page[-1].version if len(found) > request.limit else None
        return contract.PolicyVersions(versions=page, next_before=more)

    async def rollback(self, call: Call, request: contract.RollbackPolicy) -> contract.Policy:
        check_all_environments(call, "policies")
        check_unlimited(call, "Policies")

        def change(tx: Tx) -> PolicyRow:
            policy = store.policy(tx, request.id, to_write=True)
            if policy is None:
                raise contract.PolicyNotFound(f"There is no policy {request.id!r}.")
            if request.version == policy.version:
                return policy
            found = store.versions_below(tx, policy.id, request.version + 1, 1)
            if not found or found[0].version != request.version:
                raise contract.PolicyVersionNotFound(
                    f"Policy {policy.id} has no version {request.version}, or it is not kept any more; "
                    f"it is at version {policy.version}."
                )
            then = {name: getattr(found[0], name) for name in _FIELDS}
            return _change(tx, call, contract.rollback, request, "policy.rolled_back", policy, then)

        return _message(await self._db.write(change))

    async def templates(self, call: Call, request: contract.ListTemplates) -> contract.PolicyTemplates:
        return contract.PolicyTemplates(templates=[contract.PolicyTemplate(**each._asdict()) for each in TEMPLATES])

    async def install(self, call: Call, request: contract.InstallTemplate) -> contract.Policy:
        found = next((each for each in TEMPLATES if each.name == request.template), None)
        if found is None:
            names = ", ".join(each.name for each in TEMPLATES)
            raise contract.TemplateNotFound(f"There is no template {request.template[:60]!r}; there are {names}.")
        wanted = contract.CreatePolicy(
            name=request.name or found.name,
            effect=found.effect,
            actions=found.actions,
            resources=found.resources,
            condition=found.condition,
            org_id=request.org_id,
        )
        return await self.create(call, wanted)


def _change(
    tx: Tx,
    call: Call,
    operation: Operation[Any, Any],
    request: Any,
    event_type: str,
    old: PolicyRow,
    given: dict[str, str],
) -> PolicyRow:
    """The policy's next version, with the fields that are given. Raises InvalidPolicy, InvalidCondition."""
    actor = call.principal.name or "api"
    new = old._replace(**given, updated_at=call.now, version=old.version + 1, changed_by=actor)
    rules.check_policy(new.effect, new.actions, new.resources, new.condition)
    store.keep(tx, old, VERSIONS_KEPT)
    store.save(tx, new)
    tx.notify(in_tx.CHANGED, f"policy:{new.id}")
    _note(tx, call, operation, request, event_type, old, new)
    return new


def _version(policy: PolicyRow) -> contract.PolicyVersion:
    return contract.PolicyVersion(
        version=policy.version,
        current=True,
        changed_by=policy.changed_by,
        changed_at=to_datetime(policy.updated_at),
        **_rule(policy) or {},
    )


def _old_version(version: store.Version) -> contract.PolicyVersion:
    fields: dict[str, Any] = version._asdict()
    fields["changed_at"] = to_datetime(version.changed_at)
    return contract.PolicyVersion(current=False, **fields)


def _note(
    tx: Tx,
    call: Call,
    operation: Operation[Any, Any],
    request: Any,
    event_type: str,
    before: PolicyRow | None,
    after: PolicyRow | None,
) -> None:
    policy = after or before
    assert policy is not None
    audit_notes.record(
        tx,
        call,
        operation,
        request,
        event_type,
        f"policy {policy.name!r} {event_type.partition('.')[2]}",
        policy_id=policy.id,
        before=_rule(before),
        after=_rule(after),
    )


def _rule(policy: PolicyRow | None) -> dict[str, str] | None:
    return {name: getattr(policy, name) for name in _FIELDS} if policy is not None else None


def check_all_environments(call: Call, what: str) -> None:
    """Raises PermissionDenied for a key of one environment, where the thing is shared by all."""
    if call.principal.environment is not None:
        raise PermissionDenied(
            f"This key is limited to environment {call.principal.environment!r}; {what} are shared by all. "
            "Use a key for all environments."
        )


def org_of(call: Call) -> str:
    """The organisation of the caller, which what it makes belongs to."""
    access = call.principal.access
    return (access.org_id if access is not None else "") or DEFAULT_ORG


def orgs_seen(call: Call) -> tuple[str, ...]:
    """The organisations whose roles and policies a caller sees: a key of one environment its own and the default one,
    whose roles are for all; empty for all."""
    return () if call.principal.environment is None else (org_of(call), DEFAULT_ORG)


def check_unlimited(call: Call, what: str) -> None:
    """Raises PermissionDenied for a caller that is refused anything: it would change what mightier ones may do."""
    access = call.principal.access
    if access is not None and not access.is_unlimited:
        raise PermissionDenied(
            f"{what} decide what others may do, who may do more than the caller. They are changed by callers to whom "
            "nothing is refused, such as those with the role admin."
        )


def _message(policy: PolicyRow) -> contract.Policy:
    fields = policy._asdict()
    for name in ("created_at", "updated_at"):
        fields[name] = to_datetime(fields[name])
    return contract.Policy(**fields)

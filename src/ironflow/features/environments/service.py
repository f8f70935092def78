"""What happens: one method for each operation, and the names of environments as every request needs them."""

from collections.abc import Callable
from typing import Any

from ironflow.base.call import Call
from ironflow.base.environment import DEFAULT_ENVIRONMENT, InvalidEnvironment, environment_named
from ironflow.base.ids import Ids
from ironflow.base.operation import Operation
from ironflow.base.time import Clock, Millis, to_datetime
from ironflow.features.audit_notes import in_tx as audit_notes
from ironflow.features.environment_deletions import in_tx as deletions
from ironflow.features.environments import contract, in_tx, rules, store
from ironflow.features.environments.in_tx import CHANGED
from ironflow.features.environments.rules import DEFAULT, EnvironmentRow
from ironflow.features.policies.service import check_all_environments
from ironflow.features.projects import in_tx as projects
from ironflow.notify.port import Notifier
from ironflow.storage.port import Database, Tx

# Read again after this time, where a notification was lost.
NAMES_MS = 5_000
# Names that are known to be in no environment's rows; with more, each is looked up again.
UNUSED_MAX = 1_000


class EnvironmentNames:
    """Ids and names of the environments, in memory. What rows carry is found without a query."""

    def __init__(self, db: Database, clock: Clock, notifier: Notifier) -> None:
        self._db, self._clock = db, clock
        self._rows_as: dict[str, str] = {}
        self._unused: set[str] = set()
        self._read_at: Millis = -NAMES_MS
        self._changes = 0
        notifier.listen(CHANGED, self._forget)

    async def rows_as(self, named: str) -> str:
        """Of the environment with this id or name; empty is `default`.

        Raises EnvironmentNotFound, InvalidEnvironment.
        """
        found = await self.find(named)
        if found is None:
            raise contract.EnvironmentNotFound(f"There is no environment {named!r}. Create it first.")
        return found

    async def check_same(self, named: str, rows_as: str) -> None:
        """Raises InvalidEnvironment where `named` is another environment than the one whose rows carry `rows_as`."""
        if await self.find(named) != rows_as:
            raise InvalidEnvironment(
                "X-Ironflow-Environment and X-Ironflow-Environment-ID name two environments. Send one of them."
            )

    async def rows_as_or_named(self, named: str) -> str:
        """As `rows_as`, but an environment that was not created is used by its name.

        Raises InvalidEnvironment, EnvironmentNotFound: the rows of one that was renamed or deleted carry its old name.
        """
        found = await self.find(named)
        if found is not None:
            return found
        name, changes = environment_named(named), self._changes
        if name not in self._unused:
            if await self._db.peek(lambda tx: in_tx.is_taken(tx, name)):
                raise contract.EnvironmentNotFound(
                    f"There is no environment {name!r} any more: it was renamed or deleted. Create it anew to use it."
                )
            if len(self._unused) >= UNUSED_MAX:
                self._unused.clear()
            if changes == self._changes:
                self._unused.add(name)
        return name

    async def find(self, named: str) -> str | None:
        """As `rows_as`, None when there is none. Raises InvalidEnvironment."""
        if not named or environment_named(named) == DEFAULT_ENVIRONMENT:
            return DEFAULT_ENVIRONMENT
        now = self._clock.now()
        if not 0 <= now - self._read_at < NAMES_MS:
            changes = self._changes
            found = await self._db.peek(store.all_environments)
            self._rows_as = {key: each.rows_as for each in found for key in (each.id, each.name)}
            self._unused.clear()
            if changes == self._changes:
                self._read_at = now
        return self._rows_as.get(named)

    def _forget(self, _: set[str]) -> None:
        self._changes += 1
        self._unused.clear()
        self._read_at = -NAMES_MS


# Revokes every API key of an environment, which the feature of the keys does; it knows this one.
RevokeKeys = Callable[[Tx, str], None]


class Environments:
    """Environments of one server. A key of one environment sees that one only."""

    def __init__(self, db: Database, ids: Ids, revoke_keys: RevokeKeys) -> None:
        self._db, self._ids, self._revoke_keys = db, ids, revoke_keys

    def handlers(self) -> dict[Any, Any]:
        """The method of each operation."""
        return {
            contract.create: self.create,
            contract.list_: self.list_,
            contract.get: self.get,
            contract.update: self.update,
            contract.delete: self.delete,
        }

    async def create(self, call: Call, request: contract.CreateEnvironment) -> contract.Environment:
        check_all_environments(call, "environments")
        rules.check_name(request.name)
        environment_id = self._ids.new("env")

        def change(tx: Tx) -> EnvironmentRow:
            project_id = request.project_id or rules.DEFAULT_PROJECT
            environment = in_tx.create(tx, environment_id, request.name, project_id, call.now, request.color)
            _note(tx, call, contract.create, request, "environment.created", environment)
            return environment

        return _message(await self._db.write(change))

    async def list_(self, call: Call, request: contract.ListEnvironments) -> contract.Environments:
        own = call.principal.environment

        def look(tx: Tx) -> contract.Environments:
            found = store.environments_after(tx, request.project_id, request.cursor, request.limit)
            more = found[-1].id if len(found) == request.limit else None
            first = [] if request.cursor or request.project_id not in ("", rules.DEFAULT_PROJECT) else [DEFAULT]
            seen = [each for each in [*first, *found] if own is None or each.rows_as == own]
            return contract.Environments(environments=[_message(each) for each in seen], next_cursor=more)

        return await self._db.read(look)

    async def get(self, call: Call, request: contract.NamedEnvironment) -> contract.Environment:
        return _message(await self._db.peek(lambda tx: _environment(tx, call, request.id)))

    async def update(self, call: Call, request: contract.UpdateEnvironment) -> contract.Environment:
        check_all_environments(call, "environments")
        given = {
            name: value for name in ("name", "project_id", "color") if (value := getattr(request, name)) is not None
        }

        def change(tx: Tx) -> EnvironmentRow:
            old = _changeable(tx, call, request.id)
            new = old._replace(**given, updated_at=call.now)
            if new.project_id != old.project_id:
                projects.project(tx, new.project_id, to_write=True)
            if new.name != old.name:
                rules.check_name(new.name)
                if store.has_another(tx, new.name, old.id):
                    raise contract.EnvironmentExists(f"There is an environment {new.name!r} already.")
                _check_unused(tx, new.name)
            store.save(tx, new)
            _note(tx, call, contract.update, request, "environment.updated", new, name_before=old.name)
            tx.notify(CHANGED, f"moved:{new.rows_as}" if new.project_id != old.project_id else "")
            return new

        return _message(await self._db.write(change))

    async def delete(self, call: Call, request: contract.DeleteEnvironment) -> contract.EnvironmentDeleted:
        check_all_environments(call, "environments")

        def change(tx: Tx) -> EnvironmentRow:
            environment = _changeable(tx, call, request.id)
            found = store.tables_with_rows(tx, environment.rows_as)
            if found and not request.with_data:
                raise contract.EnvironmentNotEmpty(
                    f"Environment {environment.name!r} still has {', '.join(found)}. Remove them first, or set "
                    "with_data."
                )
            store.delete(tx, environment.id)
            self._revoke_keys(tx, environment.rows_as)
            deletions.start(tx, environment.id, environment.name, environment.rows_as, call.principal.name, call.now)
            _note(tx, call, contract.delete, request, "environment.deleted", environment, with_data=bool(found))
            tx.notify(CHANGED)
            return environment

        environment = await self._db.write(change)
        if request.with_data:
            return contract.EnvironmentDeleted(id=environment.id, status="deleting")
        return contract.EnvironmentDeleted()


def _note(
    tx: Tx,
    call: Call,
    operation: Operation[Any, Any],
    request: Any,
    event_type: str,
    environment: EnvironmentRow,
    **details: Any,
) -> None:
    summary = f"environment {environment.name!r} {event_type.partition('.')[2]}"
    about = {"environment_id": environment.id, "name": environment.name, **details}
    audit_notes.record(tx, call, operation, request, event_type, summary, **about)


def _changeable(tx: Tx, call: Call, id_or_name: str) -> EnvironmentRow:
    """Raises EnvironmentFixed, EnvironmentNotFound."""
    found = _environment(tx, call, id_or_name, to_write=True)
    if found.id == rules.DEFAULT_ID:
        raise contract.EnvironmentFixed
    return found


def _environment(tx: Tx, call: Call, id_or_name: str, *, to_write: bool = False) -> EnvironmentRow:
    """Raises EnvironmentNotFound, also for one that the caller must not see."""
    is_default = id_or_name in (DEFAULT_ENVIRONMENT, rules.DEFAULT_ID)
    found = DEFAULT if is_default else store.environment(tx, id_or_name, to_write=to_write)
    own = call.principal.environment
    if found is None or (own is not None and found.rows_as != own):
        raise contract.EnvironmentNotFound(f"There is no environment {id_or_name!r}.")
    return found


def _check_unused(tx: Tx, name: str) -> None:
    """Raises EnvironmentExists for a name that is used without having been created: nothing would name its rows."""
    if not in_tx.is_taken(tx, name) and (found := store.tables_in_use(tx, name)):
        raise contract.EnvironmentExists(
            f"Environment {name!r} is in use without having been created: it has {', '.join(found)}. Create it, and "
            "delete or rename it first, or take another name."
        )


def _message(environment: EnvironmentRow) -> contract.Environment:
    return contract.Environment(
        id=environment.id,
        name=environment.name,
        project_id=environment.project_id,
        color=environment.color,
        created_at=to_datetime(environment.created_at),
        updated_at=to_datetime(environment.updated_at),
    )

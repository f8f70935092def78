"""What is remembered of groups, their members and deliveries."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import asdict

from ironflow.base.time import Millis
from ironflow.features.consumer_groups.rules import AUTO, NEVER, Delivery, Group
from ironflow.log.holds import Held
from ironflow.storage.port import Params, Tx

_GROUP = ", ".join(Group.__struct_fields__)
_VALUES = ", ".join(f":{name}" for name in Group.__struct_fields__)
_DELIVERY = ", ".join(Delivery.__struct_fields__)

INSERT_GROUP = f"""INSERT INTO consumer_groups ({_GROUP}) VALUES ({_VALUES})
ON CONFLICT (environment, namespace, name) DO NOTHING"""
_NAMED = "WHERE environment = :environment AND namespace = :namespace AND name = :name"
GROUP_NAMED = f"SELECT {_GROUP} FROM consumer_groups {_NAMED}"
GROUP_NAMED_TO_WRITE = GROUP_NAMED + " {for_update}"
GROUP = f"SELECT {_GROUP} FROM consumer_groups WHERE id = :id"
GROUP_TO_WRITE = GROUP + " {for_update}"
GROUPS_BY_ID = f"SELECT {_GROUP} FROM consumer_groups WHERE id IN {{each:ids}}"
_LISTED = """FROM consumer_groups WHERE environment = :environment
 AND (:namespace = '' OR namespace = :namespace) AND (:status = '' OR status = :status)"""
GROUPS_AFTER = f"""SELECT {_GROUP} {_LISTED}
 AND (namespace > :after_namespace OR (namespace = :after_namespace AND name > :after_name))
ORDER BY namespace, name LIMIT :limit"""
COUNT_GROUPS = f"SELECT count(*) {_LISTED}"
OF_ENVIRONMENT = f"SELECT {_GROUP} FROM consumer_groups WHERE environment = :environment ORDER BY id LIMIT :limit"
SAVE_GROUP = """UPDATE consumer_groups SET pattern = :pattern, filter_expr = :filter_expr, ack_mode = :ack_mode,
 backpressure = :backpressure, max_inflight = :max_inflight, max_redeliveries = :max_redeliveries,
 redeliver_delay_ms = :redeliver_delay_ms, ack_wait_ms = :ack_wait_ms, metadata = :metadata,
 status = :status, version = :version, updated_at = :updated_at
WHERE id = :id"""
# A delivery needs its own event, so it holds the position before.
SLOWEST = """SELECT g.name, f.position FROM
 (SELECT id AS group_id, position FROM consumer_groups
  UNION ALL SELECT group_id, min(position) - 1 FROM deliveries GROUP BY group_id) f
 JOIN consumer_groups g ON g.id = f.group_id ORDER BY f.position LIMIT 1"""
SAVE_POSITION = "UPDATE consumer_groups SET position = :position, dropped = :dropped WHERE id = :id"
DELETE_GROUP = "DELETE FROM consumer_groups WHERE id = :id"
DELETE_OF_GROUP = (
    "DELETE FROM group_members WHERE group_id = :id",
    "DELETE FROM deliveries WHERE group_id = :id",
)

INSERT_MEMBER = """INSERT INTO group_members (id, group_id, node, client_id, joined_at, expires_at)
VALUES (:id, :group_id, :node, :client_id, :now, :expires_at)"""
MEMBERS = """SELECT m.id, m.group_id, g.environment, g.namespace, g.name
FROM group_members m JOIN consumer_groups g ON g.id = m.group_id WHERE m.id IN {each:ids}"""
COUNT_MEMBERS = """SELECT group_id, count(*) FROM group_members
WHERE group_id IN {each:ids} AND expires_at > :now GROUP BY group_id"""
RENEW = "UPDATE group_members SET expires_at = :expires_at WHERE id IN {each:ids} RETURNING id"
# Locks them: a member that leaves now waits until the deliveries made here exist and can be given back.
STAYING = "SELECT id FROM group_members WHERE id IN {each:ids} ORDER BY id {for_update}"
DELETE_MEMBER = "DELETE FROM group_members WHERE id = :id"
EXPIRED = """SELECT id, group_id FROM group_members WHERE expires_at <= :now ORDER BY expires_at, id
LIMIT :limit {skip_locked}"""
OF_NODE = "SELECT id, group_id FROM group_members WHERE node = :node ORDER BY id LIMIT :limit"
OF_OTHER_NODES = "SELECT id, group_id FROM group_members WHERE node <> :node ORDER BY id LIMIT :limit"

INSERT_DELIVERY = f"""INSERT INTO deliveries ({_DELIVERY})
VALUES (:group_id, :position, :event_id, :attempt, :member_id, :due_at)"""
INSERT_AGAIN = (
    INSERT_DELIVERY
    + """
ON CONFLICT (group_id, position) DO UPDATE SET attempt = excluded.attempt, member_id = excluded.member_id,
 due_at = excluded.due_at"""
)
SAVE_DELIVERY = """UPDATE deliveries SET attempt = :attempt, member_id = :member_id, due_at = :due_at
WHERE group_id = :group_id AND position = :position"""
DELETE_DELIVERY = "DELETE FROM deliveries WHERE group_id = :group_id AND position = :position"
# Waiting ones have no member. A member holds an overdue one until another member gets it.
TALLY = f"""SELECT count(*),
 CAST(coalesce(sum(CASE WHEN member_id <> '' AND due_at > :now AND due_at < {AUTO} THEN 1 ELSE 0 END), 0) AS BIGINT),
 CAST(coalesce(sum(CASE WHEN due_at = {AUTO} THEN 1 ELSE 0 END), 0) AS BIGINT),
 CAST(coalesce(sum(CASE WHEN due_at <= :now THEN 1 ELSE 0 END), 0) AS BIGINT)
FROM deliveries WHERE group_id = :group_id"""
COUNT_UNDONE = """SELECT d.group_id, count(*) FROM deliveries d JOIN consumer_groups g ON g.id = d.group_id
WHERE g.environment = :environment GROUP BY d.group_id"""
DUE = f"""SELECT {_DELIVERY} FROM deliveries WHERE group_id = :group_id AND due_at <= :now
ORDER BY position LIMIT :limit {{skip_locked}}"""
ACKED = """DELETE FROM deliveries WHERE member_id = :member_id AND event_id IN {each:event_ids}
RETURNING event_id"""
EXTEND = """UPDATE deliveries SET due_at = :due_at WHERE member_id = :member_id AND event_id IN {each:event_ids}
RETURNING event_id"""
HELD = f"""SELECT {_DELIVERY} FROM deliveries
WHERE member_id = :member_id AND event_id IN {{each:event_ids}} ORDER BY position {{for_update}}"""
HELD_BY = f"SELECT {_DELIVERY} FROM deliveries WHERE member_id = :member_id ORDER BY position {{for_update}}"
NEWLY_DUE_GROUPS = "SELECT DISTINCT group_id FROM deliveries WHERE due_at <= :now AND due_at > :since"
SPENT = f"""SELECT {_DELIVERY} FROM deliveries d
WHERE due_at <= :now AND due_at > :since AND attempt > (
  SELECT max_redeliveries FROM consumer_groups g WHERE g.id = d.group_id)
ORDER BY due_at, group_id, position LIMIT :limit {{skip_locked}}"""
NEXT_DUE = f"SELECT min(due_at) FROM deliveries WHERE due_at > :now AND due_at < {NEVER}"


class Member(NamedTuple):
    """A stored member with its group."""

    id: str
    group_id: str
    environment: str
    namespace: str
    name: str


class Tally(NamedTuple):
    """Deliveries of a group. undone: all of them. in_flight: with members that settle them. auto: with members that do
    not. due: to be handed out now."""

    undone: int
    in_flight: int
    auto: int
    due: int

    @property
    def waiting(self) -> int:
        """To be delivered again."""
        return self.undone - self.in_flight - self.auto


def create_group(tx: Tx, group: Group) -> bool:
    """Returns False when a group of that name exists."""
    return tx.run(INSERT_GROUP, asdict(group)) == 1


def group_named(tx: Tx, environment: str, namespace: str, name: str, *, to_write: bool = False) -> Group | None:
    sql = GROUP_NAMED_TO_WRITE if to_write else GROUP_NAMED
    row = tx.row(sql, {"environment": environment, "namespace": namespace, "name": name})
    return Group(*row) if row else None


def group(tx: Tx, group_id: str, *, to_write: bool = False) -> Group | None:
    row = tx.row(GROUP_TO_WRITE if to_write else GROUP, {"id": group_id})
    return Group(*row) if row else None


def groups(tx: Tx, group_ids: Iterable[str]) -> dict[str, Group]:
    return {row[0]: Group(*row) for row in tx.rows(GROUPS_BY_ID, {"ids": sorted(set(group_ids))})}


def groups_after(
    tx: Tx, environment: str, namespace: str, status: str, after: tuple[str, str], limit: int
) -> tuple[list[Group], int]:
    """Groups by (namespace, name) after that one, and the total number. An empty filter matches all."""
    asked = {"environment": environment, "namespace": namespace, "status": status}
    page: Params = {"after_namespace": after[0], "after_name": after[1], "limit": limit}
    count = tx.row(COUNT_GROUPS, asked)
    return [Group(*row) for row in tx.rows(GROUPS_AFTER, asked | page)], count[0] if count else 0


def groups_of(tx: Tx, environment: str, limit: int) -> list[Group]:
    return [Group(*row) for row in tx.rows(OF_ENVIRONMENT, {"environment": environment, "limit": limit})]


def save_group(tx: Tx, group: Group) -> None:
    tx.run(SAVE_GROUP, asdict(group))


def save_position(tx: Tx, group: Group) -> None:
    tx.run(SAVE_POSITION, {"id": group.id, "position": group.position, "dropped": group.dropped})


def delete_group(tx: Tx, group_id: str) -> None:
    tx.run(DELETE_GROUP, {"id": group_id})
    for sql in DELETE_OF_GROUP:
        tx.run(sql, {"id": group_id})


def add_member(
    tx: Tx, member_id: str, group_id: str, node: str, client_id: str, now: Millis, expires_at: Millis
) -> None:
    tx.run(
        INSERT_MEMBER,
        {
            "id": member_id,
            "group_id": group_id,
            "node": node,
            "client_id": client_id,
            "now": now,
            "expires_at": expires_at,
        },
    )


def members(tx: Tx, member_ids: Iterable[str]) -> dict[str, Member]:
    return {row[0]: Member(*row) for row in tx.rows(MEMBERS, {"ids": sorted(set(member_ids))})}


def count_members(tx: Tx, group_ids: Sequence[str], now: Millis) -> dict[str, int]:
    if not group_ids:
        return {}
    return {row[0]: row[1] for row in tx.rows(COUNT_MEMBERS, {"ids": list(group_ids), "now": now})}


def renew(tx: Tx, member_ids: Sequence[str], expires_at: Millis) -> set[str]:
    """Those of them that are still known."""
    return {row[0] for row in tx.rows(RENEW, {"ids": list(member_ids), "expires_at": expires_at})}


def staying(tx: Tx, member_ids: Iterable[str]) -> set[str]:
    """Those of them that have not left; they cannot before this transaction ends."""
    return {row[0] for row in tx.rows(STAYING, {"ids": sorted(set(member_ids))})}


def delete_member(tx: Tx, member_id: str) -> None:
    tx.run(DELETE_MEMBER, {"id": member_id})


def expired_members(tx: Tx, now: Millis, limit: int) -> list[tuple[str, str]]:
    """(member id, group id) of members whose lease ended."""
    return [(row[0], row[1]) for row in tx.rows(EXPIRED, {"now": now, "limit": limit})]


def members_of_other_nodes(tx: Tx, node: str, limit: int) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in tx.rows(OF_OTHER_NODES, {"node": node, "limit": limit})]


def members_of(tx: Tx, node: str, limit: int) -> list[tuple[str, str]]:
    """(member id, group id) of members whose connections were those of this incarnation of a node."""
    return [(row[0], row[1]) for row in tx.rows(OF_NODE, {"node": node, "limit": limit})]


def tally(tx: Tx, group_id: str, now: Millis) -> Tally:
    row = tx.row(TALLY, {"group_id": group_id, "now": now})
    return Tally(*row) if row else Tally(0, 0, 0, 0)


def count_undone(tx: Tx, environment: str) -> dict[str, int]:
    """Deliveries of each group of the environment that has any."""
    return {row[0]: row[1] for row in tx.rows(COUNT_UNDONE, {"environment": environment})}


def due(tx: Tx, group_id: str, now: Millis, limit: int) -> list[Delivery]:
    """Deliveries that may be handed out now, in order of the log."""
    return [Delivery(*row) for row in tx.rows(DUE, {"group_id": group_id, "now": now, "limit": limit})]


def add_deliveries(tx: Tx, deliveries: Sequence[Delivery]) -> None:
    tx.many(INSERT_DELIVERY, [asdict(each) for each in deliveries])


def add_deliveries_again(tx: Tx, deliveries: Sequence[Delivery]) -> None:
    """As add_deliveries, for those that may be there already."""
    tx.many(INSERT_AGAIN, [asdict(each) for each in deliveries])


def save_deliveries(tx: Tx, deliveries: Sequence[Delivery]) -> None:
    tx.many(SAVE_DELIVERY, [asdict(each) for each in deliveries])


def delete_deliveries(tx: Tx, deliveries: Iterable[Delivery]) -> None:
    tx.many(DELETE_DELIVERY, [{"group_id": each.group_id, "position": each.position} for each in deliveries])


def delete_acked(tx: Tx, member_id: str, event_ids: Sequence[str]) -> set[str]:
    """Those of these events that the member held."""
    return {row[0] for row in tx.rows(ACKED, {"member_id": member_id, "event_ids": list(event_ids)})}


def extend(tx: Tx, member_id: str, event_ids: Sequence[str], due_at: Millis) -> set[str]:
    """Those of these events that the member holds; they are due at `due_at` now."""
    asked = {"member_id": member_id, "event_ids": list(event_ids), "due_at": due_at}
    return {row[0] for row in tx.rows(EXTEND, asked)}


def held(tx: Tx, member_id: str, event_ids: Sequence[str] | None = None) -> list[Delivery]:
    """What the member holds: these events of it, or all."""
    if event_ids is None:
        return [Delivery(*row) for row in tx.rows(HELD_BY, {"member_id": member_id})]
    return [Delivery(*row) for row in tx.rows(HELD, {"member_id": member_id, "event_ids": list(event_ids)})]


def newly_due_groups(tx: Tx, since: Millis, now: Millis) -> list[str]:
    return [row[0] for row in tx.rows(NEWLY_DUE_GROUPS, {"since": since, "now": now})]


def spent(tx: Tx, since: Millis, now: Millis, limit: int) -> list[Delivery]:
    """Deliveries that became due after `since` and have no redelivery left."""
    return [Delivery(*row) for row in tx.rows(SPENT, {"since": since, "now": now, "limit": limit})]


def next_due(tx: Tx, now: Millis) -> Millis | None:
    row = tx.row(NEXT_DUE, {"now": now})
    return row[0] if row else None


def slowest(tx: Tx) -> Held | None:
    """The slowest group, and the position up to which it needs nothing any more."""
    row = tx.row(SLOWEST)
    return Held(f"consumer group {row[0]}", row[1]) if row else None

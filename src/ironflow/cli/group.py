"""`ironflow group`: consumer groups and their dead letters."""

from typing import Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType

from ironflow.base.duration import duration_ms, duration_text
from ironflow.base.errors import IronflowError
from ironflow.base.json import Json
from ironflow.cli.event.subscribe import show_event
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, json_line, status_text, table
from ironflow.cli.terminal.payload import read_data
from ironflow.cli.terminal.times import since_text, time_text
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.consumer_groups.contract import (
    AckMode,
    BackpressureMode,
    ConsumerGroup,
    GroupStatus,
)
from ironflow.features.dead_letters import contract as dead_letters

app = App("group", help="Consumer groups and their dead letters.")

Name = Annotated[str, Parameter(help="The group's name.")]
Namespace = Annotated[str, Parameter(help="The group's namespace; `default` when empty.")]
Topic = Annotated[str, Parameter(help="A pattern of topics, such as topic:mail.*")]
Reason = Annotated[str, Parameter(help="Text contained in the reason.")]
All = Annotated[bool, Parameter(name="--all", negative="", help="All dead letters of the group.")]
_DATA_SHOWN_MAX = 60


@app.command
def create(
    name: Name,
    pattern: str,
    /,
    *,
    filter: str = "",
    manual: Annotated[bool, Parameter(negative="")] = False,
    backpressure: BackpressureMode = BackpressureMode.BUFFER,
    max_inflight: int = 0,
    max_redeliveries: int = 0,
    redeliver_delay: str = "0s",
    ack_wait: str = "0s",
    metadata: str | None = None,
    namespace: Namespace = "",
    cli: Injected,
) -> None:
    """Create a group; it starts with the next event.

    Args:
        pattern: Pattern of the events, such as `order.*`, `topic:mail` or `entity:cart.*.>`.
        filter: A CEL expression such as data.total > 100, or status:failed.
        manual: Members acknowledge each event; otherwise sending it settles it.
        backpressure: Behaviour with slow members: drop, block or buffer.
        max_inflight: Maximum of unacknowledged events; 0 for the default of 100.
        max_redeliveries: Maximum of redeliveries of an event; 0 for the default of 3.
        redeliver_delay: Delay before a redelivery; 0s for the default of 5s.
        ack_wait: Time that a member has for an event from its hand-over; 0s for the default of 30s.
        metadata: A JSON object stored with the group.
    """
    request = groups.CreateGroup(
        namespace=namespace,
        name=name,
        pattern=pattern,
        filter_expr=filter,
        ack_mode=AckMode.MANUAL if manual else AckMode.AUTO,
        backpressure=backpressure,
        max_inflight=max_inflight,
        max_redeliveries=max_redeliveries,
        redeliver_delay_ms=duration_ms(redeliver_delay),
        ack_wait_ms=duration_ms(ack_wait),
        metadata=_metadata(cli, metadata),
    )
    answer = cli.call(groups.create, request)
    cli.show(answer, lambda: f"created group {answer.name}")


@app.command(name="list")
def list_(
    *,
    namespace: Annotated[str, Parameter(help="Only groups of this namespace.")] = "",
    status: GroupStatus | None = None,
    limit: Limit = 100,
    cursor: Cursor = "",
    cli: Injected,
) -> None:
    """List the groups.

    Args:
        status: Only groups with this status.
    """
    request = groups.ListGroups(namespace=namespace, status=status, limit=limit, cursor=cursor)
    answer = cli.call(groups.list_, request)
    cli.show(
        answer,
        lambda: table(
            ["GROUP", "NAMESPACE", "PATTERN", "STATUS", "MEMBERS", "ACKS", "BACKPRESSURE"],
            (
                [
                    each.name,
                    each.namespace,
                    each.pattern,
                    status_text(each.status.value),
                    str(each.member_count),
                    each.ack_mode.value,
                    each.backpressure.value,
                ]
                for each in answer.groups
            ),
            right=["MEMBERS"],
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def get(name: Name, /, *, namespace: Namespace = "", cli: Injected) -> None:
    """Show a group with its lag, in-flight events and dead letters."""
    answer = cli.call(groups.get, groups.NamedGroup(namespace=namespace, name=name))
    cli.show(answer, lambda: facts(_facts(answer)))


@app.command
def update(
    name: Name,
    /,
    *,
    pattern: str | None = None,
    filter: str | None = None,
    acks: AckMode | None = None,
    backpressure: BackpressureMode | None = None,
    max_inflight: int | None = None,
    max_redeliveries: int | None = None,
    redeliver_delay: str | None = None,
    ack_wait: str | None = None,
    metadata: str | None = None,
    namespace: Namespace = "",
    cli: Injected,
) -> None:
    """Change the given settings of a group.

    Args:
        pattern: Pattern of the events; it applies to events not read yet.
        filter: CEL filter; "" for all events.
        acks: Acknowledgement mode.
        backpressure: Behaviour with slow members.
        max_inflight: Maximum of unacknowledged events.
        max_redeliveries: Maximum of redeliveries of an event; 0 for none.
        redeliver_delay: Delay before a redelivery.
        ack_wait: Time that a member has for an event from its hand-over.
        metadata: A JSON object stored with the group.
    """
    request = groups.GroupChange(
        namespace=namespace,
        name=name,
        pattern=pattern,
        filter_expr=filter,
        ack_mode=acks,
        backpressure=backpressure,
        max_inflight=max_inflight,
        max_redeliveries=max_redeliveries,
        redeliver_delay_ms=None if redeliver_delay is None else duration_ms(redeliver_delay),
        ack_wait_ms=None if ack_wait is None else duration_ms(ack_wait),
        metadata=_metadata(cli, metadata),
    )
    answer = cli.call(groups.patch, request)
    cli.show(answer, lambda: facts(_facts(answer)))


@app.command
def pause(name: Name, /, *, namespace: Namespace = "", cli: Injected) -> None:
    """Pause a group: it hands out no events. Members and position stay."""
    _set_status(cli, name, namespace, GroupStatus.PAUSED)


@app.command
def resume(name: Name, /, *, namespace: Namespace = "", cli: Injected) -> None:
    """Resume a paused group."""
    _set_status(cli, name, namespace, GroupStatus.ACTIVE)


@app.command
def delete(
    name: Name,
    /,
    *,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    namespace: Namespace = "",
    cli: Injected,
) -> None:
    """Delete a group with its position, deliveries and dead letters. The events stay in the log.

    Args:
        yes: Do not ask for confirmation.
    """
    if not yes:
        found = cli.call(groups.get, groups.NamedGroup(namespace=namespace, name=name))
        what = f"{found.member_count} members, {found.lag} unread events and {found.dead_letters} dead letters"
        if not cli.confirm(f"Delete group {name} with {what}?"):
            raise UsageError(f"group {name} is unchanged. Add --yes to delete it with {what}.")
    cli.send(groups.delete, groups.NamedGroup(namespace=namespace, name=name))
    cli.show({"deleted": name}, lambda: f"deleted group {name}")


@app.command
def dead(
    name: Name,
    /,
    *,
    topic: Topic = "",
    reason: Reason = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    namespace: Namespace = "",
    cli: Injected,
) -> None:
    """List the dead letters of a group with their reasons."""
    request = dead_letters.ListDeadLetters(
        namespace=namespace, name=name, topic=topic, reason=reason, limit=limit, cursor=cursor
    )
    answer = cli.call(dead_letters.list_, request)
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["EVENT", "TOPIC", "ATTEMPTS", "SINCE", "REASON", "DATA"],
            (
                [
                    each.event_id,
                    each.topic,
                    str(each.attempts),
                    since_text(each.dead_at, now),
                    each.reason,
                    json_line(each.data, _DATA_SHOWN_MAX),
                ]
                for each in answer.dead_letters
            ),
            right=["ATTEMPTS"],
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def replay(
    name: Name,
    /,
    *events: Annotated[str, Parameter(help="Event ids of dead letters.")],
    topic: Topic = "",
    reason: Reason = "",
    every: All = False,
    namespace: Namespace = "",
    cli: Injected,
) -> None:
    """Redeliver dead letters: the given events, matching ones, or all."""
    request = _choice(name, events, topic, reason, every, namespace)
    answer = cli.call(dead_letters.replay, request)
    cli.show(answer, lambda: f"{answer.count} dead letters will be redelivered")


@app.command
def purge(
    name: Name,
    /,
    *events: Annotated[str, Parameter(help="Event ids of dead letters.")],
    topic: Topic = "",
    reason: Reason = "",
    every: All = False,
    namespace: Namespace = "",
    cli: Injected,
) -> None:
    """Delete dead letters: the given events, matching ones, or all. The events stay in the log."""
    request = _choice(name, events, topic, reason, every, namespace)
    answer = cli.call(dead_letters.purge, request)
    cli.show(answer, lambda: f"{answer.count} dead letters deleted")


@app.command
def join(
    name: Name,
    /,
    *,
    count: Annotated[int, Parameter(alias="-c")] = 0,
    prefetch: int = 4,
    metadata: Annotated[bool, Parameter(negative="")] = False,
    namespace: Namespace = "",
    cli: Injected,
) -> None:
    """Be a member of a group until Ctrl-C: shows its share of the events, and acks each once it is written.

    Args:
        count: End after this many events; 0 for never.
        prefetch: The events that this member has unsettled at a time.
        metadata: Show the metadata of each event too; --json always does.
    """

    def report_rejoin(fault: IronflowError) -> None:
        cli.note(f"{fault.message} Joining again.", style="yellow")

    # At once for a group that does not exist.
    cli.call(groups.get, groups.NamedGroup(namespace=namespace, name=name))
    with cli.client.consumer_groups.join(
        name, namespace=namespace, prefetch=prefetch, client_id="ironflow group join", on_error=report_rejoin
    ) as events:
        for shown, event in enumerate(events, 1):
            show_event(cli, event, metadata)
            event.ack()
            if shown == count:
                return


def _choice(
    name: str, events: tuple[str, ...], topic: str, reason: str, every: bool, namespace: str
) -> dead_letters.ChooseDeadLetters:
    if not (events or topic or reason or every):
        raise UsageError("nothing is selected. Give event ids, --topic, --reason or --all.")
    return dead_letters.ChooseDeadLetters(
        namespace=namespace, name=name, event_ids=list(events), topic=topic, reason=reason, all=every
    )


def _set_status(cli: Cli, name: str, namespace: str, status: GroupStatus) -> None:
    answer = cli.call(groups.patch, groups.GroupChange(namespace=namespace, name=name, status=status))
    cli.show(answer, lambda: f"group {answer.name} is {answer.status.value}")


def _metadata(cli: Cli, text: str | None) -> Json | None:
    return None if text is None else read_data(text, cli.stdin)


def _facts(group: ConsumerGroup) -> list[tuple[str, RenderableType | None]]:
    def number(value: int | None) -> str | None:
        return None if value is None else str(value)

    return [
        ("group", group.name),
        ("namespace", group.namespace),
        ("pattern", group.pattern),
        ("filter", group.filter_expr),
        ("status", status_text(group.status.value)),
        ("members", str(group.member_count)),
        ("lag", number(group.lag)),
        ("in flight", number(group.in_flight)),
        ("waiting", number(group.waiting)),
        ("dead letters", number(group.dead_letters)),
        ("dropped", number(group.dropped)),
        ("position", number(group.position)),
        ("acks", group.ack_mode.value),
        ("backpressure", group.backpressure.value),
        ("max in flight", str(group.max_inflight)),
        ("ack wait", duration_text(group.ack_wait_ms)),
        ("redeliveries", f"{group.max_redeliveries}, after {duration_text(group.redeliver_delay_ms)}"),
        ("metadata", json_line(group.metadata)),
        ("created", None if group.created_at is None else time_text(group.created_at)),
    ]

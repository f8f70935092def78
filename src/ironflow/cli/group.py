"""`ironflow group`: consumer groups and their dead letters."""

from typing import Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType

from ironflow.base.duration import duration_ms, duration_text
from ironflow.base.json import Json
from ironflow.cli.exits import UsageError
from ironflow.cli.invocation import Cli, Here
from ironflow.cli.output import facts, json_line, status_text, table
from ironflow.cli.pages import Cursor, Limit, say_more
from ironflow.cli.payload import read_data
from ironflow.cli.times import since_text, time_text
from ironflow.features.consumer_groups import contract as groups
from ironflow.features.consumer_groups.contract import (
    AckMode,
    BackpressureMode,
    ChooseDeadLetters,
    ConsumerGroup,
    GroupStatus,
)

app = App("group", help="Consumer groups and their dead letters.")

Name = Annotated[str, Parameter(help="The group's name.")]
Namespace = Annotated[str, Parameter(help="The group's namespace; `default` when empty.")]
Topic = Annotated[str, Parameter(help="A pattern of topics, such as topic:mail.*")]
Reason = Annotated[str, Parameter(help="A part of the reason.")]
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
    metadata: str | None = None,
    namespace: Namespace = "",
    cli: Here,
) -> None:
    """Create a group; it begins with the next event.

    Args:
        pattern: Which events, such as `order.*`, `topic:mail` or `entity:cart.*.>`.
        filter: Which of them: a CEL expression such as data.total > 100, or status:failed.
        manual: Members ack each event; otherwise it is settled when it is sent.
        backpressure: What happens when members are slow: drop, block or buffer.
        max_inflight: Events that may be with members at a time; 0 for the default of 100.
        max_redeliveries: Times an event is delivered again; 0 for the default of 3.
        redeliver_delay: After which time an event that nobody acked comes again; 0s for the default of 5s.
        metadata: A JSON object to keep with the group.
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
        metadata=_metadata(cli, metadata),
    )
    answer = cli.ask(groups.create, request)
    cli.show(answer, lambda: f"created group {answer.name}")


@app.command(name="list")
def list_(
    *,
    namespace: Annotated[str, Parameter(help="Of this namespace only.")] = "",
    status: GroupStatus | None = None,
    limit: Limit = 100,
    cursor: Cursor = "",
    cli: Here,
) -> None:
    """List the groups.

    Args:
        status: Only those that are active, or paused.
    """
    request = groups.ListGroups(namespace=namespace, status=status, limit=limit, cursor=cursor)
    answer = cli.ask(groups.list_, request)
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
    say_more(cli, answer.next_cursor)


@app.command
def get(name: Name, /, *, namespace: Namespace = "", cli: Here) -> None:
    """One group with its lag, what is in flight and what is dead."""
    answer = cli.ask(groups.get, groups.NamedGroup(namespace=namespace, name=name))
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
    metadata: str | None = None,
    namespace: Namespace = "",
    cli: Here,
) -> None:
    """Change what is given of a group.

    Args:
        pattern: Which events; what it has not looked at yet is judged by the new one.
        filter: Which of them; "" for all.
        acks: manual or auto.
        backpressure: drop, block or buffer.
        max_inflight: Events that may be with members at a time.
        max_redeliveries: Times an event is delivered again; 0 for not at all.
        redeliver_delay: After which time an event that nobody acked comes again.
        metadata: A JSON object to keep with the group.
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
        metadata=_metadata(cli, metadata),
    )
    answer = cli.ask(groups.patch, request)
    cli.show(answer, lambda: facts(_facts(answer)))


@app.command
def pause(name: Name, /, *, namespace: Namespace = "", cli: Here) -> None:
    """Hand nothing out until the group is resumed; members stay, and nothing is forgotten."""
    _set_status(cli, name, namespace, GroupStatus.PAUSED)


@app.command
def resume(name: Name, /, *, namespace: Namespace = "", cli: Here) -> None:
    """Let a paused group go on."""
    _set_status(cli, name, namespace, GroupStatus.ACTIVE)


@app.command
def delete(
    name: Name,
    /,
    *,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    namespace: Namespace = "",
    cli: Here,
) -> None:
    """Delete a group with its position, deliveries and dead letters. The events stay in the log.

    Args:
        yes: Do not ask.
    """
    if not yes:
        found = cli.ask(groups.get, groups.NamedGroup(namespace=namespace, name=name))
        what = f"{found.member_count} members, {found.lag} events not begun and {found.dead_letters} dead letters"
        if not cli.confirm(f"Delete group {name} with {what}?"):
            raise UsageError(f"group {name} is left as it is. Add --yes to delete it with {what}.")
    cli.tell(groups.delete, groups.NamedGroup(namespace=namespace, name=name))
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
    cli: Here,
) -> None:
    """List the events of a group that are delivered no more, with the reasons."""
    request = groups.ListDeadLetters(
        namespace=namespace, name=name, topic=topic, reason=reason, limit=limit, cursor=cursor
    )
    answer = cli.ask(groups.dead_letters, request)
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["EVENT", "TOPIC", "ATTEMPTS", "DIED", "REASON", "DATA"],
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
    say_more(cli, answer.next_cursor)


@app.command
def replay(
    name: Name,
    /,
    *events: Annotated[str, Parameter(help="Ids of dead events.")],
    topic: Topic = "",
    reason: Reason = "",
    every: All = False,
    namespace: Namespace = "",
    cli: Here,
) -> None:
    """Deliver dead letters again as if they were new: these events, those that fit, or all."""
    request = _choice(name, events, topic, reason, every, namespace)
    answer = cli.ask(groups.replay, request)
    cli.show(answer, lambda: f"{answer.count} to be delivered again")


@app.command
def purge(
    name: Name,
    /,
    *events: Annotated[str, Parameter(help="Ids of dead events.")],
    topic: Topic = "",
    reason: Reason = "",
    every: All = False,
    namespace: Namespace = "",
    cli: Here,
) -> None:
    """Forget dead letters: these events, those that fit, or all. The events stay in the log."""
    request = _choice(name, events, topic, reason, every, namespace)
    answer = cli.ask(groups.purge, request)
    cli.show(answer, lambda: f"{answer.count} forgotten")


def _choice(
    name: str, events: tuple[str, ...], topic: str, reason: str, every: bool, namespace: str
) -> ChooseDeadLetters:
    if not (events or topic or reason or every):
        raise UsageError("Name the events, or say --topic, --reason or --all.")
    return ChooseDeadLetters(
        namespace=namespace, name=name, event_ids=list(events), topic=topic, reason=reason, all=every
    )


def _set_status(cli: Cli, name: str, namespace: str, status: GroupStatus) -> None:
    answer = cli.ask(groups.patch, groups.GroupChange(namespace=namespace, name=name, status=status))
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
        ("redeliveries", f"{group.max_redeliveries}, after {duration_text(group.redeliver_delay_ms)}"),
        ("metadata", json_line(group.metadata)),
        ("created", None if group.created_at is None else time_text(group.created_at)),
    ]

"""`ironflow topic`: publish messages to topics, and statistics of topics."""

from typing import Annotated

from cyclopts import App, Parameter

from ironflow.base.json import NULL
from ironflow.cli.invocation import Injected
from ironflow.cli.pages import Cursor, Limit, note_more
from ironflow.cli.terminal.output import facts, table
from ironflow.cli.terminal.payload import read_data
from ironflow.cli.terminal.times import since_text
from ironflow.features.pubsub import contract as pubsub

app = App("topic", help="Publish messages to topics, and show their readers.")

Data = Annotated[
    str | None,
    Parameter(name=["--data", "-d"], help="JSON, @FILE, or - for standard input.", allow_leading_hyphen=True),
]


@app.command
def publish(topic: str, /, *, data: Data = None, idempotency_key: str = "", cli: Injected) -> None:
    """Publish a message to a topic. It starts no function and ends no wait.

    Args:
        topic: The topic, such as orders.done.
        idempotency_key: A repeated key on a topic within 7 days returns the first response.
    """
    message = NULL if data is None else read_data(data, cli.stdin)
    request = pubsub.Publish(topic=topic, data=message, idempotency_key=idempotency_key)
    answer = cli.call(pubsub.publish, request)
    sent = "already published" if answer.duplicate else "published"
    cli.show(answer, lambda: facts([("message", f"{answer.event_id}  {sent}"), ("position", str(answer.sequence))]))


@app.command(name="list")
def list_(
    *,
    limit: Limit = 1000,
    cursor: Cursor = "",
    cli: Injected,
) -> None:
    """List the topics that have messages."""
    answer = cli.call(pubsub.list_, pubsub.ListTopics(limit=limit, cursor=cursor))
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["TOPIC", "MESSAGES", "CONSUMERS", "FIRST", "LAST"],
            (
                [
                    each.name,
                    str(each.message_count),
                    str(each.consumer_count),
                    since_text(each.first_message_at, now),
                    since_text(each.last_message_at, now),
                ]
                for each in answer.topics
            ),
            right=["MESSAGES", "CONSUMERS"],
        ),
    )
    note_more(cli, answer.next_cursor)


@app.command
def stats(topic: str, /, *, cli: Injected) -> None:
    """Show a topic: its messages, its consumers (groups and subscriptions), and the lag of the slowest group.

    Args:
        topic: The topic, such as orders.done.
    """
    answer = cli.call(pubsub.stats, pubsub.GetTopicStats(topic=topic))
    cli.show(
        answer,
        lambda: facts(
            [
                ("topic", answer.name),
                ("messages", str(answer.message_count)),
                ("consumers", str(answer.consumer_count)),
                ("lag", str(answer.lag)),
                ("first position", str(answer.first_seq)),
                ("last position", str(answer.last_seq)),
            ]
        ),
    )

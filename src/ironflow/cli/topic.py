"""`ironflow topic`: messages to topics."""

from typing import Annotated

from cyclopts import App, Parameter

from ironflow.base.json import NULL
from ironflow.cli.invocation import Here
from ironflow.cli.output import facts, table
from ironflow.cli.pages import Cursor, Limit, say_more
from ironflow.cli.payload import read_data
from ironflow.cli.times import since_text
from ironflow.features.pubsub import contract as pubsub

app = App("topic", help="Publish messages to topics, and see who reads them.")

Data = Annotated[
    str | None,
    Parameter(name=["--data", "-d"], help="JSON, @FILE, or - for standard input.", allow_leading_hyphen=True),
]


@app.command
def publish(topic: str, /, *, data: Data = None, idempotency_key: str = "", cli: Here) -> None:
    """Publish a message to a topic. It starts no function and ends no wait.

    Args:
        topic: The topic, such as orders.done.
        idempotency_key: The same key on a topic within 7 days answers the first message again.
    """
    message = NULL if data is None else read_data(data, cli.stdin)
    request = pubsub.Publish(topic=topic, data=message, idempotency_key=idempotency_key)
    answer = cli.ask(pubsub.publish, request)
    sent = "published before" if answer.duplicate else "published"
    cli.show(answer, lambda: facts([("message", f"{answer.event_id}  {sent}"), ("position", str(answer.sequence))]))


@app.command(name="list")
def list_(
    *,
    limit: Limit = 1000,
    cursor: Cursor = "",
    cli: Here,
) -> None:
    """List the topics that something was published to."""
    answer = cli.ask(pubsub.list_, pubsub.ListTopics(limit=limit, cursor=cursor))
    now = cli.clock.now()
    cli.show(
        answer,
        lambda: table(
            ["TOPIC", "MESSAGES", "GROUPS", "FIRST", "LAST"],
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
            right=["MESSAGES", "GROUPS"],
        ),
    )
    say_more(cli, answer.next_cursor)


@app.command
def stats(topic: str, /, *, cli: Here) -> None:
    """One topic: its messages, the groups that read it, and how far behind the slowest of them is.

    Args:
        topic: The topic, such as orders.done.
    """
    answer = cli.ask(pubsub.stats, pubsub.GetTopicStats(topic=topic))
    cli.show(
        answer,
        lambda: facts(
            [
                ("topic", answer.name),
                ("messages", str(answer.message_count)),
                ("groups", str(answer.consumer_count)),
                ("lag", str(answer.lag)),
                ("first position", str(answer.first_seq)),
                ("last position", str(answer.last_seq)),
            ]
        ),
    )

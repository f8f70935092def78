"""`ironflow topic`: messages to topics."""

from typing import Annotated

from cyclopts import App, Parameter

from ironflow.base.json import NULL
from ironflow.cli.invocation import Here
from ironflow.cli.output import facts
from ironflow.cli.payload import read_data
from ironflow.features.pubsub import contract as pubsub

app = App("topic", help="Publish messages to topics.")

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

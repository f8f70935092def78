"""A newsletter, by a schedule, to each subscriber once: paying ones first, within the limits of the mail service
(Inngest: fan-out with throttling and priority; DBOS: scheduled workflow).

Start it with `ironflow dev newsletter.py`, then create a schedule, and do not wait for Monday:
`ironflow schedule create weekly send-newsletter --cron "0 8 * * 1" --overlap skip --data '{"topic": "gardens"}'`,
`ironflow schedule trigger weekly`.
"""

from typing import Any

import msgspec
import outside

from ironflow import Concurrency, Context, InvokeError, NonRetryableError, Retry, Throttle, function


class Issue(msgspec.Struct):
    topic: str


class Subscriber(msgspec.Struct):
    topic: str
    address: str
    tier: str


class Bounced(NonRetryableError):
    """The mail service does not know the address."""

    code = "BOUNCED"


@function("send-newsletter")
async def send_newsletter(ctx: Context, issue: Issue) -> dict[str, Any]:
    """One run for each subscriber; a mail that bounces stops no other."""
    subscribers = await ctx.step.run("look up", subscribers_of, issue.topic)
    handles = await ctx.step.start_many("mail-subscriber", subscribers)
    results = await ctx.step.join("all", handles, on_error="collect")
    bounced = [each["address"] for each, result in zip(subscribers, results, strict=True) if failed(result)]
    return {"topic": issue.topic, "sent": len(results) - len(bounced), "bounced": bounced}


@function(
    "mail-subscriber",
    concurrency=Concurrency(1),
    throttle=Throttle(100, "1s"),
    # Ten points are ten minutes: a gold subscriber passes all that came less than ten minutes before.
    priority="data.tier == 'gold' ? 10 : 0",
    step_retry=Retry(max_attempts=8, initial_delay="1s"),
)
async def mail_subscriber(ctx: Context, subscriber: Subscriber) -> None:
    await ctx.step.run("mail", mail, subscriber)


def failed(result: Any) -> bool:
    return isinstance(result, InvokeError) and result.code == Bounced.code


async def subscribers_of(topic: str) -> list[dict[str, str]]:
    """A database would be asked here. Its answer is recorded, so that later executions see the same list."""
    tiers = {"gardens": ["basic"] * 5 + ["gold"] * 2, "harbours": ["basic"]}
    subscribers = [
        {"topic": topic, "address": f"{tier}-{number}", "tier": tier} for number, tier in enumerate(tiers[topic])
    ]
    return [*subscribers, {"topic": topic, "address": "unknown", "tier": "basic"}]


async def mail(subscriber: Subscriber) -> None:
    if subscriber.address == "unknown":
        raise Bounced(f"there is no {subscriber.address}")
    await outside.call("mail.send", to=subscriber.address, topic=subscriber.topic)


functions = [send_newsletter, mail_subscriber]

"""Mails to a new user, by what the user does (Inngest: drip campaign).

Start it with `ironflow dev onboarding.py`, then sign up, and write a first post or not:
`ironflow emit user.signed_up --data '{"userId": "ada", "pause": "10s", "patience": "1m"}'`,
`ironflow emit post.created --data '{"userId": "ada"}'`.
"""

import msgspec
import outside

from ironflow import CancelOn, Context, Retry, function


class SignedUp(msgspec.Struct, rename="camel"):
    """pause: between the welcome and the advice. patience: how long a first post is waited for."""

    user_id: str
    pause: str = "1d"
    patience: str = "3d"


@function(
    "onboard",
    on="user.signed_up",
    key="data.userId",
    cancel_on=[CancelOn("user.deleted", match="userId")],
    step_retry=Retry(max_attempts=5, initial_delay="1s"),
)
async def onboard(ctx: Context, user: SignedUp) -> list[str]:
    """Welcome, advice, and a nudge for those that write nothing. A user that is deleted gets no further mail."""
    sent = [await ctx.step.run("welcome", mail, user, "welcome")]
    await ctx.step.sleep("settle in", user.pause)
    sent.append(await ctx.step.run("advice", mail, user, "advice"))

    # A post since the sign-up counts, also one that was written before the run came here.
    post = await ctx.step.wait_for_event(
        "first post", event="post.created", match="userId", timeout=user.patience, on_timeout=None
    )
    text = "nudge" if post is None else "congratulations"
    sent.append(await ctx.step.run(text, mail, user, text))
    return sent


async def mail(user: SignedUp, text: str) -> str:
    await outside.call("mail.send", to=user.user_id, text=text)
    return text


functions = [onboard]

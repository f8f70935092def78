"""A chat with an agent that uses tools (Temporal and Restate: durable agent).

Start it with `ironflow dev agent.py`, then talk to the agent of `ada` in Python:
`await client.ask("agent", "ada", "prompt", {"text": "What is the weather in Oslo?"}, start=True)`.
"""

from typing import Any

import msgspec
import outside

from ironflow import Context, Retry, function

# A link of the chain takes so many prompts; the next one knows the last turns.
PROMPTS_IN_A_LINK = 3
TURNS_KEPT = 4

MODEL = Retry(max_attempts=6, initial_delay="500ms", max_delay="1m")


class Chat(msgspec.Struct):
    """turns: what was asked and answered, oldest first. patience: how long a prompt is waited for."""

    turns: list[list[str]] = []
    patience: str = "1d"


@function("agent", step_retry=MODEL)
async def agent(ctx: Context, chat: Chat) -> dict[str, Any]:
    """A run for each user, found by the key. Each prompt is answered to the client that asked it."""
    for _ in range(PROMPTS_IN_A_LINK):
        ctx.set("doing", "listening")
        prompt = await ctx.step.receive("prompt", timeout=chat.patience, on_timeout=None)
        if prompt is None:
            return {"turns": len(chat.turns)}
        text = str(prompt.data["text"]).strip()
        if not text:
            await prompt.reject("the prompt is empty")
            continue
        answer = await think(ctx, text)
        chat.turns.append([text, answer])
        await prompt.reply(answer)
    return ctx.restart({"turns": chat.turns[-TURNS_KEPT:], "patience": chat.patience})


async def think(ctx: Context, text: str) -> str:
    """Asks the model, and uses the tools that it asks for. Each completion and each use of a tool is paid for once."""
    seen: list[str] = []
    while True:
        ctx.set("doing", f"thinking about {text!r}")
        completion = await ctx.step.run("complete", complete, text, seen)
        if "answer" in completion:
            return completion["answer"]
        ctx.set("doing", f"using {completion['tool']}")
        seen.append(await ctx.step.run(completion["tool"], TOOLS[completion["tool"]], completion["input"]))


# The model: it answers, or asks for a tool.


async def complete(text: str, seen: list[str]) -> dict[str, str]:
    await outside.call("model.complete", text=text, seen=seen)
    if "weather" in text and not seen:
        return {"tool": "forecast", "input": text.rstrip("?").split()[-1]}
    return {"answer": f"You asked: {text}" if not seen else seen[-1]}


async def forecast(city: str) -> str:
    await outside.call("weather.forecast", city=city)
    return f"In {city} it rains."


TOOLS = {"forecast": forecast}

functions = [agent]

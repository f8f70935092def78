"""`kill -9` of servers and workers while runs are asked: one answer to each question, and no value before its step."""

import asyncio
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from ironflow import AskRefused, Client
from ironflow.base.errors import NotFound
from tests.crash.scene import Scene
from tests.crash.until import until

KEYS = ("a", "b", "c")
QUESTIONS = 16
KILLS = 6


async def asked(client: Client, key: str, number: int) -> Any:
    """The answer, or the reason of the refusal."""
    try:
        return await client.ask(
            "tally", key, "add", number, start=True, idempotency_key=f"{key}-{number}", timeout="90s"
        )
    except AskRefused as refusal:
        return refusal.message


def expected(key: str) -> list[Any]:
    """The answers to the questions 0, 1, 2, …: the total so far to even ones, a refusal to odd ones."""
    totals = list(accumulate(range(0, QUESTIONS, 2)))
    return [f"{number} is odd" if number % 2 else totals[number // 2] for number in range(QUESTIONS)]


async def looked(client: Client, key: str) -> tuple[dict[str, int] | None, int]:
    """What the run shows, and how many of its steps were recorded a moment later."""
    try:
        shown = await client.runs.value("tally", "shown", key=key)
    except NotFound:
        return None, 0
    steps = await client.runs.steps("tally", key=key)
    return shown, sum(step.name == "work" and step.status == "completed" for step in steps)


@pytest.mark.processes
@pytest.mark.timeout(300)
async def test_each_question_has_one_answer_and_no_value_is_newer_than_its_step(tmp_path: Path, database_url: str):
    with Scene(tmp_path, database_url, seed=5, work="tests.messages.tallying") as scene:
        async with scene.working() as client:
            answers: dict[str, list[Any]] = {key: [] for key in KEYS}
            faults: list[str] = []

            async def ask_all(key: str) -> None:
                for number in range(QUESTIONS):
                    answer = await asked(client, key, number)
                    answers[key].append(answer)
                    shown, _ = await looked(client, key)
                    if isinstance(answer, int) and (shown is None or shown["total"] != answer):
                        faults.append(f"{key} showed {shown} after the answer {answer}")

            async def watch(key: str) -> None:
                before = 0
                while True:
                    shown, works = await looked(client, key)
                    if shown is not None:
                        if not before <= shown["added"] <= works:
                            faults.append(f"{key} showed {shown} after {before}, with {works} steps")
                        if shown["total"] != sum(range(0, 2 * shown["added"], 2)):
                            faults.append(f"{key} showed {shown}")
                        before = shown["added"]

            asking = asyncio.gather(*map(ask_all, KEYS))
            watching = [asyncio.create_task(watch(key)) for key in KEYS]
            for kill in range(1, KILLS + 1):
                goal = kill * len(KEYS) * QUESTIONS // (KILLS + 1) + scene.chance.randint(-2, 2)
                await until(lambda goal=goal: sum(map(len, answers.values())) >= goal, "answers come")
                if kill % 2:
                    scene.kill_worker(scene.workers[0])
                    scene.start_worker(**({"stream": "1"} if kill % 4 == 1 else {}))
                else:
                    scene.kill_server()
                    await scene.start_server()
            await asking
            for task in watching:
                task.cancel()
            ended = await asyncio.gather(*watching, return_exceptions=True)
            for key in KEYS:
                await client.send("tally", key, "add", "stop", idempotency_key=f"{key}-stop")
            runs = [await client.runs.wait("tally", key=key, timeout="60s") for key in KEYS]
            values = [await client.runs.value("tally", "shown", key=key) for key in KEYS]
            again = {key: [await asked(client, key, number) for number in range(QUESTIONS)] for key in KEYS}
            every = [run async for run in client.runs.list(function_id="tally")]
            taken = {
                run.id: [step.name for step in await client.runs.steps(run.id) if step.name in ("add", "work")]
                for run in runs
            }

    assert [type(each) for each in ended] == [asyncio.CancelledError] * len(KEYS)
    assert faults == []
    assert answers == again == {key: expected(key) for key in KEYS}
    assert len(every) == len(KEYS)
    for run, value in zip(runs, values, strict=True):
        assert (run.status, run.error) == ("completed", None)
        assert run.output == value == {"total": sum(range(0, QUESTIONS, 2)), "added": QUESTIONS // 2}
        assert (taken[run.id].count("add"), taken[run.id].count("work")) == (QUESTIONS + 1, QUESTIONS // 2)

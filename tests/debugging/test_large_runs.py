"""The debug adapter on runs with very many steps and very large outputs."""

from typing import Any

from ironflow.base.json import write_json
from ironflow.debugging.dap.variables import CHILDREN_MAX, SHOWN_CHARS_MAX
from tests.debugging.editor import Editor
from tests.support.work import Work, step

# A message that an editor shows at once; the body of one stop is a part of it.
MESSAGE_BYTES_MAX = 1024 * 1024


async def test_of_a_run_with_ten_thousand_steps_any_moment_is_reached(server: Work):
    run = await server.a_run(recording=True)
    job = await server.claim()
    for first in range(0, 10_000, 500):
        await server.report(job, "progress", *[step(job, f"s{n}", n) for n in range(first, first + 500)])
    editor = Editor(server, run.id)
    await editor.begin(at="s9999")
    assert await editor.evaluated("outputs.s9999") == "9999"

    # The steps of one report are one moment.
    back = await editor.move("stepBack")
    assert back["description"].startswith("'s9000' completed")
    assert back["description"].endswith("; and 495 more")
    await editor.ask("setFunctionBreakpoints", breakpoints=[{"name": "s5000"}])
    assert "'s5000' completed" in (await editor.move("reverseContinue"))["description"]
    assert await editor.evaluated("size(outputs)") == "5500"
    outputs = await editor.ask("variables", variablesReference=await editor.scope("Outputs"), start=4_990, count=10)
    assert [each["value"] for each in outputs["variables"]] == [str(number) for number in range(4_990, 5_000)]
    assert max(len(write_json(each)) for each in editor.messages) < MESSAGE_BYTES_MAX


async def test_an_output_of_four_mebibytes_is_shown_in_parts(server: Work):
    text = "x" * (2 * 1024 * 1024)
    output: Any = {"text": text, "rows": [{"n": number, "pad": "y" * 80} for number in range(20_000)]}
    assert len(write_json(output)) < 4 * 1024 * 1024
    run = await server.a_run(recording=True)
    await server.report(job := await server.claim(), "completed", step(job, "reserve", output))
    editor = Editor(server, run.id)
    await editor.begin(at="end")

    outputs = await editor.scope("Outputs")
    (reserve,) = (await editor.ask("variables", variablesReference=outputs))["variables"]
    inside = (await editor.ask("variables", variablesReference=reserve["variablesReference"]))["variables"]
    shown = {each["name"]: each for each in inside}
    assert len(shown["text"]["value"]) <= SHOWN_CHARS_MAX + 2
    rows = await editor.ask("variables", variablesReference=shown["rows"]["variablesReference"])
    assert len(rows["variables"]) == CHILDREN_MAX
    last = await editor.ask("variables", variablesReference=shown["rows"]["variablesReference"], start=19_999, count=5)
    assert [each["name"] for each in last["variables"]] == ["19999"]
    assert await editor.evaluated("outputs.reserve.rows[19999].n") == "19999"

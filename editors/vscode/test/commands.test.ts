import assert from "node:assert/strict";
import { test } from "node:test";
import { completed, debugConfiguration, jsonFault, programOf, replayArguments, variablesOf, venvProgram } from "../src/commands";

test("the program is that of the setting, else of the folder's environment, else of the path", () => {
  assert.deepEqual(programOf(["uv", "run", "--project", "${workspaceFolder}/app", "ironflow"], "/x/.venv/bin/ironflow", "/x"), [
    "uv", "run", "--project", "/x/app", "ironflow",
  ]);
  assert.deepEqual(programOf([], "/x/.venv/bin/ironflow", "/x"), ["/x/.venv/bin/ironflow"]);
  assert.deepEqual(programOf([], "", ""), ["ironflow"]);
  assert.deepEqual(venvProgram("linux"), [".venv", "bin", "ironflow"]);
  assert.deepEqual(venvProgram("win32"), [".venv", "Scripts", "ironflow.exe"]);
});

test("the key is a variable and no argument", () => {
  assert.deepEqual(variablesOf({ url: "u", apiKey: "k", environment: "e" }), {
    IRONFLOW_SERVER_URL: "u", IRONFLOW_API_KEY: "k", IRONFLOW_ENV: "e",
  });
  assert.deepEqual(variablesOf({ url: "u", apiKey: "", environment: "" }), { IRONFLOW_SERVER_URL: "u" });
  assert.deepEqual(replayArguments("run_1", "/x/a b.py"), ["replay", "run_1", "/x/a b.py"]);
});

test("a configuration gets the server of the settings unless it names one", () => {
  const settings = { url: "u", environment: "e" };
  assert.deepEqual(completed(debugConfiguration("run_1"), settings), {
    type: "ironflow", request: "launch", name: "run_1", run: "run_1", at: "start", server: "u", environment: "e",
  });
  const given = { type: "ironflow", request: "attach", name: "n", run: "r", server: "s", environment: "" };
  assert.deepEqual(completed(given, settings), { type: "ironflow", request: "attach", name: "n", run: "r", server: "s", environment: "" });
});

test("an empty configuration asks for a run", () => {
  assert.deepEqual(completed({}, { url: "u", environment: "" }), {
    type: "ironflow", request: "launch", name: "Ironflow run", run: "${command:pickRun}", at: "start", server: "u",
  });
});

test("data that is not JSON is refused while it is typed", () => {
  assert.equal(jsonFault('{"a": [1, null]}'), undefined);
  assert.match(jsonFault("{a: 1}") ?? "", /^This is not JSON: /);
  assert.match(jsonFault("") ?? "", /^This is not JSON: /);
});

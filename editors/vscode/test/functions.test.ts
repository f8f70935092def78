import assert from "node:assert/strict";
import { test } from "node:test";
import { findFunctions } from "../src/functions";

const found = (body: string) => findFunctions(`from ironflow import function\n${body}`);

test("a function is found at the line of its decorator", () => {
  assert.deepEqual(found('\n@function("process-order", on="order.placed")\nasync def f(ctx): ...\n'), [{ id: "process-order", line: 2 }]);
});

for (const [how, decorator] of Object.entries({
  "by the module": '@ironflow.function("a")',
  "with single quotes": "@function('a')",
  "with a raw string": '@function(r"a")',
  "by keyword": '@function(id="a", on="x")',
  "by a later keyword": '@function(on=["x", "y"], retry=Retry(id="no"), id="a")',
  "over several lines": '@function(\n    # the id (of all)\n    "a",\n    on="x",\n)',
  "within a class or function": '    @function("a")',
  "with brackets in other texts": '@function("a", when="data.x == \')\'")',
})) {
  test(`the id is read ${how}`, () => assert.deepEqual(found(decorator), [{ id: "a", line: 1 }]));
}

for (const [what, body] of Object.entries({
  "a comment": '# @function("a")',
  "a docstring": '"""Example:\n\n@function("a")\n"""',
  "a docstring with an escaped quote": '"""\\"""\n@function("a")\n"""',
  "a text that is not closed yet": "'''\n@function(\"a\")",
  "another decorator": '@functions("a")\n@my_function("a")',
  "a computed id": '@function(NAME)\n@function(f"{x}")\n@function("a" + x)\n@function("a" "b")',
  "a decorator that is not complete yet": "@function(",
  "a call": 'x = function("a")',
})) {
  test(`${what} is no function`, () => assert.deepEqual(found(body), []));
}

test("a file that does not import ironflow has no functions", () => {
  assert.deepEqual(findFunctions('# import ironflow\n@app.function("a")\n'), []);
  assert.deepEqual(findFunctions('import ironflow as i\n@i.function("a")\n'), [{ id: "a", line: 1 }]);
});

test("a quote in a comment and a line end of Windows move nothing", () => {
  assert.deepEqual(found("# don't\r\n@function('a')\r\n@function('b')\r\n"), [{ id: "a", line: 2 }, { id: "b", line: 3 }]);
});

test("a long text is read", () => {
  assert.deepEqual(found(`"""${"x\\n".repeat(500_000)}"""\n@function("a")`), [{ id: "a", line: 2 }]);
});

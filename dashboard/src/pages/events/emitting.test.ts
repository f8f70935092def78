import { expect, it } from "vitest";
import { draftFor, parsed, recipes, schemaOf, textOf } from "./emitting";

const DRAFT = { where: "default/events", event: "order.placed", version: 2, text: '{"id": ' };
const stored = JSON.stringify(DRAFT);

it("finds what was typed at the same place for the same event", () => {
  expect(draftFor(stored, "default/events", "")).toEqual(DRAFT);
  expect(draftFor(stored, "default/events", "order.placed")).toEqual(DRAFT);
  expect(draftFor(stored, "default/events", "order.paid")).toBeUndefined();
  expect(draftFor(stored, "staging/events", "")).toBeUndefined();
  expect(draftFor(null, "default/events", "")).toBeUndefined();
});

it("takes the schema of the version, or the newest", () => {
  const schemas = [1, 3, 2].map((version) => ({ version }) as never);
  expect(schemaOf(schemas, 2)).toEqual({ version: 2 });
  expect(schemaOf(schemas, 0)).toEqual({ version: 3 });
  expect(schemaOf([], 1)).toBeUndefined();
});

it("reads an empty text as null, and half a text as none", () => {
  expect([parsed(" "), parsed('{"a": 1}'), parsed('{"a":')]).toEqual([{ value: null }, { value: { a: 1 } }, undefined]);
  expect([textOf(null), textOf({ a: 1 })]).toEqual(["", '{\n  "a": 1\n}']);
});

it("copies an emit with its version and quotes", () => {
  expect(recipes("order.placed", 2, { by: "O'Neil" })).toEqual({
    python: `await client.emit("order.placed", json.loads("{\\"by\\":\\"O'Neil\\"}"), version=2)`,
    cli: `ironflow emit order.placed --data '{"by":"O'\\''Neil"}' --version 2`,
  });
  expect(recipes("$(reboot)", 1, 1).cli).toBe("ironflow emit '$(reboot)' --data '1'");
});

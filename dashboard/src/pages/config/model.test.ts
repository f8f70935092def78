import { expect, it } from "vitest";
import { fault, text } from "./model";

it("takes JSON objects only", () => {
  expect(fault('{"a": 1}')).toBe("");
  expect(fault("[1]")).toContain("JSON object");
  expect(fault("{")).toContain("no JSON");
  expect(fault("")).toContain("JSON object");
  expect(fault('{"id": 9007199254740993}')).toContain("cannot hold");
});

it("shows a document with its lines", () => {
  expect(text({ a: 1 })).toBe('{\n  "a": 1\n}');
});

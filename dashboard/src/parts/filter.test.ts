import { expect, it } from "vitest";
import { line, moment, terms } from "./filter";

it("reads terms, quoted values and bare texts", () => {
  expect(terms('status:failed error:"card declined" ord_1')).toEqual([
    { name: "status", value: "failed" }, { name: "error", value: "card declined" }, { name: "", value: "ord_1" },
  ]);
});

it("writes what it reads", () => {
  const text = 'status:failed error:"card declined" ord_1';
  expect(line(terms(text))).toBe(text);
});

it("knows spans and moments, and nothing else", () => {
  expect(moment("1h", 3_600_000)).toBe("1970-01-01T00:00:00.000Z");
  expect(moment("2026-01-01", 0)).toBe("2026-01-01T00:00:00.000Z");
  expect(moment("soon", 0)).toBeUndefined();
});

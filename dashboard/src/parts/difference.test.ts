import { expect, it } from "vitest";
import { difference } from "./difference";

it("finds what was added, removed and changed, by path", () => {
  const before = { total: 5, items: [{ sku: "a" }, { sku: "b" }], note: "x" };
  const after = { total: 6, items: [{ sku: "a" }], paid: true };
  expect(difference(before, after)).toEqual([
    { path: "total", kind: "changed", before: 5, after: 6 },
    { path: "items[1]", kind: "removed", before: { sku: "b" }, after: undefined },
    { path: "note", kind: "removed", before: "x", after: undefined },
    { path: "paid", kind: "added", before: undefined, after: true },
  ]);
});

it("finds nothing between equal values", () => {
  expect(difference({ a: [1, null] }, { a: [1, null] })).toEqual([]);
});

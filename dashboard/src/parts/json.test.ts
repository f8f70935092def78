import { expect, it } from "vitest";
import { encodedBytes, lines, matches } from "./json";

it("shows the envelope of a codec as its size, wherever it is", () => {
  const shown = lines({ name: "order", data: { $encoded: "AAAAAAA=" } }, () => true);
  expect(shown.map((line) => line.text)).toEqual(["{", '"order"', "encoded, 5 bytes", "}"]);
});

it("leaves values alone that only look like one", () => {
  for (const each of [{ $encoded: 1 }, { $encoded: "abc" }, { $encoded: "AAAA", more: 1 }, ["$encoded"], null]) expect(encodedBytes(each)).toBeUndefined();
  expect([encodedBytes({ $encoded: "AA==" }), encodedBytes({ $encoded: "" })]).toEqual([1, 0]);
});

it("finds what is folded, by name and by value, and says where it is", () => {
  const value = { order: { lines: [{ sku: "A-1" }, { sku: "b-2" }], note: null } };
  expect(matches(value, "a-1").map((line) => [line.path, line.text])).toEqual([["order.lines[0].sku", '"A-1"']]);
  expect(matches(value, "LINES").map((line) => [line.path, line.kind, line.size])).toEqual([["order.lines", "open", 2]]);
  expect(matches(value, "nowhere")).toEqual([]);
});

it("finds in 10 MB, and no more than its limit", () => {
  const large = Array.from({ length: 100_000 }, (_, index) => ({ id: `item-${index}`, text: "x".repeat(60), here: index === 99_999 ? "needle" : index }));
  expect(matches(large, "needle").map((line) => line.path)).toEqual(["[99999].here"]);
  expect(matches(large, "item", 1000)).toHaveLength(1000);
});

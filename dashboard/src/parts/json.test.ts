import { expect, it } from "vitest";
import { encodedBytes, lines } from "./json";

it("shows the envelope of a codec as its size, wherever it is", () => {
  const shown = lines({ name: "order", data: { $encoded: "AAAAAAA=" } }, () => true);
  expect(shown.map((line) => line.text)).toEqual(["{", '"order"', "encoded, 5 bytes", "}"]);
});

it("leaves values alone that only look like one", () => {
  for (const each of [{ $encoded: 1 }, { $encoded: "abc" }, { $encoded: "AAAA", more: 1 }, ["$encoded"], null]) expect(encodedBytes(each)).toBeUndefined();
  expect([encodedBytes({ $encoded: "AA==" }), encodedBytes({ $encoded: "" })]).toEqual([1, 0]);
});

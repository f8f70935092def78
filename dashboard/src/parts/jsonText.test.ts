import { expect, it } from "vitest";
import { inexact, jsonFault, roundedFault } from "./jsonText";

it("finds a number that a browser has rounded, however deep", () => {
  for (const text of ["9007199254740993", "-12345678901234567890", "1e999", '{"a": [{"b": 9007199254740993}]}']) {
    expect(inexact(JSON.parse(text))).toBeDefined();
    expect(jsonFault(text, "data")).toContain("cannot hold a number of this data exactly");
  }
  for (const text of ["9007199254740991", "0.1", "1e-7", '{"text": "9007199254740993"}', "null", ""]) expect(jsonFault(text, "data")).toBe("");
  expect(roundedFault({ maximum: 2 ** 63 }, "schema")).toContain("about 9.22e+18");
});

it("names what is no JSON", () => {
  expect(jsonFault("{", "input")).toContain("The input is no JSON");
});

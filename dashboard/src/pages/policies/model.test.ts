import { expect, it } from "vitest";
import { EMPTY, fault, formOf, outcome } from "./model";

it("names what a form lacks", () => {
  expect(fault(EMPTY)).toContain("name");
  expect(fault({ ...EMPTY, name: "a" })).toContain("actions");
  expect(fault({ ...EMPTY, name: "a", actions: "emit:*", resources: " " })).toContain("resources");
  expect(fault({ ...EMPTY, name: "a", actions: "emit:*" })).toBe("");
});

it("opens a policy as it is", () => {
  expect(formOf({ name: "a", effect: "deny", actions: "*", resources: "*" } as never)).toEqual({ name: "a", effect: "deny", actions: "*", resources: "*", condition: "" });
});

it("explains a try", () => {
  expect(outcome({ holds: true, decided: true, effect: "allow" })).toContain("holds");
  expect(outcome({ holds: false, decided: false, effect: "allow" })).toContain("cannot be evaluated");
});

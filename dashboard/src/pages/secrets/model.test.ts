import { expect, it } from "vitest";
import { fault, usage } from "./model";

it("takes the names that the server takes", () => {
  for (const name of ["API_KEY", "7", "stripe.live-key", "_x"]) expect(fault(name, "v")).toBe("");
  for (const name of ["-x", ".x", "a b", "a/b", "x".repeat(129)]) expect(fault(name, "v")).toContain("A name has");
});

it("counts the bytes of a value, not its letters", () => {
  expect(fault("a", "é".repeat(32 * 1024))).toBe("");
  expect(fault("a", "é".repeat(32 * 1024) + "x")).toContain("65537 bytes");
});

it("quotes the name in the recipe", () => {
  expect(usage("API_KEY")).toContain('secrets=["API_KEY"]');
});

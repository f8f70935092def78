import { expect, it } from "vitest";
import { colourOf } from "./model";

it("colours an environment by its own setting, and production red without one", () => {
  expect([colourOf("staging", "amber"), colourOf("production", ""), colourOf("production", "violet"), colourOf("dev", "#123456")]).toEqual(["amber", "red", "violet", ""]);
});

import { expect, it } from "vitest";
import { body, one } from "./bulk";

it("takes the filter of the list", () => {
  expect(body("cancel", { status: "paused", function_id: "pay", search: "x" })).toEqual({ action: "cancel", statuses: ["paused"], function_id: "pay", search: "x" });
  expect(body("cancel", { parent_run_id: "run_1" })).toBeUndefined();
});

it("acts on one run", () => {
  expect(one("retry", "run_1")).toBe("/api/v1/runs/run_1/retry");
});

import { expect, it } from "vitest";
import { body, cliOf, one, phrase, UNDO } from "./bulk";

it("takes the filter of the list", () => {
  expect(body("cancel", { status: "paused", function_id: "pay", search: "x" })).toEqual({ action: "cancel", statuses: ["paused"], function_id: "pay", search: "x" });
  expect(body("cancel", { parent_run_id: "run_1", error: "declined" })).toEqual({ action: "cancel", parent_run_id: "run_1", error: "declined" });
});

it("writes the same as a command", () => {
  expect(cliOf(body("pause", { status: "failed", function_id: "pay", error: "card's declined" }))).toBe(`ironflow run bulk start pause --function pay --error 'card'\\''s declined' --status failed`);
});

it("asks for a phrase with the extent where nothing takes the action back", () => {
  expect([phrase("cancel", 12_345), UNDO.cancel, UNDO.retry]).toEqual(["cancel 12,345", undefined, undefined]);
});

it("acts on one run", () => {
  expect(one("retry", "run_1")).toBe("/api/v1/runs/run_1/retry");
});

import { expect, it } from "vitest";
import { body, cliOf, each, isHeld, one, phrase, UNDO, type Progress } from "./bulk";

it("takes the filter of the list", () => {
  expect(body("cancel", { status: "paused", function_id: "pay", search: "x" })).toEqual({ action: "cancel", statuses: ["paused"], function_id: "pay", search: "x" });
  expect(body("cancel", { parent_run_id: "run_1", error: "declined" })).toEqual({ action: "cancel", parent_run_id: "run_1", error: "declined" });
});

it("writes the same as a command", () => {
  expect(cliOf(body("pause", { status: "failed", function_id: "pay", error: "card's declined" }))).toBe(`ironflow run bulk start pause --function pay --error 'card'\\''s declined' --status failed`);
});

it("asks for a phrase with the extent where nothing takes the action back", () => {
  expect([phrase("cancel", { matched: 12_345 }), UNDO.cancel, UNDO.retry]).toEqual(["cancel 12,345", undefined, undefined]);
  expect(phrase("cancel", { matched: 10_000, more: true })).toBe("cancel 10,000+");
});

it("acts on one run", () => {
  expect(one("retry", "run_1")).toBe("/api/v1/runs/run_1/retry");
});

it("keeps for an undo only the runs that were changed", async () => {
  const shown: Progress[] = [];
  expect(await each(["a", "b", "c"], async (id) => id !== "b", () => false, (progress) => shown.push(progress))).toEqual(["a", "c"]);
  expect(shown.at(-1)).toEqual({ status: "done", matched: 3, changed: 2, refused: 1 });
});

it("is stopped, not running, after the request that was in flight", async () => {
  let stopped = false;
  const shown: Progress[] = [];
  const act = async () => (stopped = true);
  expect(await each(["a", "b"], act, () => stopped, (progress) => shown.push(progress))).toEqual(["a"]);
  expect(shown).toEqual([{ status: "stopped", matched: 2, changed: 1, refused: 0 }]);
  stopped = false;
  await each(["a"], act, () => stopped, (progress) => shown.push(progress));
  expect(shown.at(-1)?.status).toBe("done");
});

it("resumes only what a pause holds when the pause is undone", () => {
  expect(["paused: injection", "paused: exhausted", "failed", "running"].map((state) => isHeld({ state }))).toEqual([true, false, false, false]);
  expect(isHeld({ state: "running", pause_requested: true })).toBe(true);
});

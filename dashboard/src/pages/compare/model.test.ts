import { expect, it } from "vitest";
import type { Run, Step } from "../run/model";
import { compareAddress, pairs, summary, whole } from "./model";

const run = (id: string, more: object = {}) => ({ id, function_id: "f", function_version: 1, attempt: 1, max_attempts: 3, event_id: "evt_1", status: "completed", ...more }) as Run;
const step = (of: string, name: string, more: object = {}) =>
  ({ step_id: `${of}:${name}:0`, name, status: "completed", started_at: "2026-01-01T00:00:00Z", ended_at: "2026-01-01T00:00:01Z", ...more }) as Step;
const [A, B] = [run("run_a"), run("run_b")];

it("aligns steps by their ids without those of the runs", () => {
  const all = pairs(A, ["one", "two", "four"].map((name) => step("run_a", name)), B, ["zero", "one", "three", "four"].map((name) => step("run_b", name)));
  expect(all.map((each) => [each.name, Boolean(each.a), Boolean(each.b)])).toEqual([
    ["zero", false, true], ["one", true, true], ["three", false, true], ["two", true, false], ["four", true, true],
  ]);
  expect(summary(A, B, all)).toBe("Both are completed. 3 of 5 steps differ; 1 step only in A, 2 steps only in B.");
});

it("aligns steps of other SDKs by name and number", () => {
  const odd = (id: string) => ({ ...step("x", "a"), step_id: id }) as Step;
  expect(pairs(A, [odd("1"), odd("2")], B, [odd("8"), odd("9")]).map((each) => [each.a?.step_id, each.b?.step_id])).toEqual([["1", "8"], ["2", "9"]]);
});

it("shows differences of input, output, error and time", () => {
  const [one] = pairs(A, [step("run_a", "one", { input: 1, output: { total: 3 } })], B, [
    step("run_b", "one", { input: 1, status: "failed", error: { message: "no", error_class: "Declined", stack: "x" }, ended_at: "2026-01-01T00:00:03Z" }),
  ]);
  expect(one?.changes.map((each) => [each.path, each.kind])).toEqual([["output", "removed"], ["error", "added"]]);
  expect([one?.longer, one?.isDifferent]).toEqual([2000, true]);
});

it("finds no difference where only the stack and the time differ", () => {
  const failed = (of: string, stack: string) => step(of, "one", { status: "failed", error: { message: "no", code: "NO", stack } });
  const all = pairs(A, [failed("run_a", "line 1")], B, [failed("run_b", "line 2")]);
  expect([all[0]?.isDifferent, summary(A, B, all)]).toEqual([false, "Both are completed. No step differs."]);
});

it("compares the runs themselves", () => {
  const found = whole(run("run_a", { input: { id: 1 } }), run("run_b", { input: { id: 2 } }));
  expect(found.changes.map((each) => each.path)).toEqual(["input.id"]);
});

it("has the older run first", () => expect(compareAddress(["run_2", "run_1"])).toBe("/runs/compare?a=run_1&b=run_2"));

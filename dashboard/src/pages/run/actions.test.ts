import { expect, it } from "vitest";
import { fault, possible, preview, request } from "./actions";
import type { Run, Step } from "./model";

const step = (name: string, sequence: number, status: string) => ({ id: `row_${sequence}`, step_id: name, name, sequence, status }) as Step;
const STEPS = [step("reserve", 0, "completed"), step("charge", 1, "failed"), step("mail", 2, "completed")];
const run = (state: string, status = state) => ({ id: "run_1", status, state }) as Run;
const names = (steps: Step[]) => steps.map((each) => each.name);

it("offers what the state permits", () => {
  expect(possible(run("failed"))).toEqual(["resume", "retry", "patch"]);
  expect(possible(run("paused:injection", "paused"))).toEqual(["resume", "inject", "patch", "cancel"]);
  expect(possible(run("running"))).toEqual(["pause", "cancel"]);
  expect(possible(run("completed"))).toEqual([]);
  expect(possible(run("cancelling", "running"))).toEqual(["force"]);
});

it("shows that resuming from a step drops it and all later ones", () => {
  const shown = preview("resume", STEPS, "charge");
  expect([names(shown.kept), names(shown.again)]).toEqual([["reserve"], ["charge", "mail"]]);
});

it("shows that a plain resume keeps what is done", () => {
  const shown = preview("resume", STEPS, "");
  expect([names(shown.kept), names(shown.again)]).toEqual([["reserve", "mail"], ["charge"]]);
});

it("shows that a retry runs everything again", () => {
  expect(names(preview("retry", STEPS, "").again)).toEqual(["reserve", "charge", "mail"]);
});

it("makes the same request for every way", () => {
  const made = request("patch", run("failed"), STEPS, { step: "charge", reason: "it's paid", output: '{"ok": true}' });
  expect(made.body).toEqual({ step_id: "row_1", output: { ok: true }, reason: "it's paid" });
  expect(made.cli).toBe(`ironflow run patch row_1 --output '{"ok": true}' --reason 'it'\\''s paid'`);
});

it("ends a run that is being cancelled", () => {
  const made = request("force", run("cancelling", "running"), STEPS, { step: "", reason: "", output: "" });
  expect([made.body, made.cli]).toEqual([{ reason: "", force: true }, "ironflow run cancel run_1 --force"]);
});

it("refuses an output that is no JSON", () => {
  expect(fault("patch", { step: "charge", reason: "", output: "{" })).toContain("no JSON");
  expect(fault("inject", { step: "charge", reason: "", output: " " })).toContain("such as null");
  expect(fault("inject", { step: "charge", reason: "", output: "9007199254740993" })).toContain("cannot hold");
  expect(fault("cancel", { step: "", reason: "", output: "" })).toBe("");
});

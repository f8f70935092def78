import { expect, it } from "vitest";
import { busy, codeLocation, errorTitle, moments, rows, shown, whole, type Run, type Step, type TimelineEvent } from "./model";

const at = (ms: number) => new Date(ms).toISOString();
const RUN = { id: "run_1", status: "failed", created_at: at(0), started_at: at(40), ended_at: at(900) } as Run;
const step = (name: string, from: number, to: number | undefined, more: Partial<Step> = {}) =>
  ({ step_id: name, name, step_type: "invoke", status: "completed", attempt: 1, started_at: at(from), ...(to === undefined ? {} : { ended_at: at(to) }), ...more }) as Step;

it("begins with how long the run was queued", () => {
  expect(rows(RUN, [], [], 0)[0]).toMatchObject({ name: "queued", note: "queued for 40 ms", bars: [{ kind: "queue", from: 0, to: 40 }] });
});

it("brackets steps that ran at the same time", () => {
  const made = rows(RUN, [step("a", 50, 100), step("b", 100, 300), step("c", 150, 200), step("d", 310, 320)], [], 0);
  expect(made.map((row) => row.bracket)).toEqual(["", "", "first", "last", ""]);
});

it("marks failed attempts where they ended", () => {
  const history = [{ event_type: "step.failed", step_id: "a", timestamp: at(60) }] as TimelineEvent[];
  const made = rows(RUN, [step("a", 50, 100, { attempt: 2 })], history, 0);
  expect(made[1]).toMatchObject({ failures: [60], note: "50 ms, 2 attempts" });
});

it("lets an unfinished bar grow to now", () => {
  const made = rows(RUN, [step("a", 50, undefined, { status: "running" })], [], 700);
  expect(made[1]?.bars).toEqual([{ kind: "body", from: 50, to: 700, open: true }]);
});

it("counts waits as idle, so that they fold", () => {
  const made = rows(RUN, [step("w", 50, 800, { step_type: "wait_for_event" })], [], 0);
  expect(busy(made)).toEqual([expect.objectContaining({ kind: "queue" })]);
});

it("keeps rows that failed, and the run's own", () => {
  const made = rows(RUN, [step("a", 50, 60), step("b", 60, 70, { status: "failed" })], [], 0);
  expect(shown(made, "failed", "").map((row) => row.name)).toEqual(["queued", "b"]);
  expect(shown(made, "", "A").map((row) => row.name)).toEqual(["a"]);
});

it("finds the user's line in a stack", () => {
  const stack = 'File "/x/site-packages/lib.py", line 3\nFile "/srv/app.py", line 42, in charge';
  expect(codeLocation(stack)).toBe("app.py:42");
  expect(codeLocation("at pay (/srv/pay.ts:7:3)")).toBe("pay.ts:7");
  expect(codeLocation(undefined)).toBeUndefined();
});

it("stops the playhead at every change", () => {
  expect(moments(RUN, [step("a", 50, 60)], [])).toEqual([0, 50, 60, 900]);
  expect(whole(RUN, 5000)).toEqual({ from: 0, to: 900 });
});

it("calls an error by its class, else by its code", () => {
  expect(errorTitle({ message: "insufficient funds", code: "STEP_FAILED", error_class: "shop.CardDeclined" } as never)).toBe("CardDeclined: insufficient funds");
  expect(errorTitle({ message: "too late", code: "RUN_TIMEOUT" } as never)).toBe("RUN_TIMEOUT: too late");
  expect(errorTitle({ message: "broken" } as never)).toBe("broken");
});

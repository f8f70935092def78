import { expect, it } from "vitest";
import { bulk, canCancel, chart, filterOf, groups, issueText, which, type Group } from "./model";

const GROUP = {
  id: "flr_1", function_id: "pay", error_class: "CardDeclined", pattern: "card … declined", step: "charge", count: 3, counts: [1, 2], versions: [2],
  first_at: "2026-01-01T00:00:00Z", last_at: "2026-01-01T01:00:00Z", latest_message: "card 42 declined", latest_run_id: "run_1",
} as Group;

it("calls a group new that only the newest version has", () => {
  expect(groups([GROUP], new Map([["pay", 2]]), {}, true)).toHaveLength(1);
  expect(groups([GROUP], new Map([["pay", 3]]), {}, true)).toHaveLength(0);
});

it("shows a muted group again when it grows", () => {
  expect(groups([GROUP], new Map(), { flr_1: 3 }, false)).toEqual([]);
  expect(groups([GROUP], new Map(), { flr_1: 2 }, false)).toHaveLength(1);
});

it("adds the groups up over time", () => {
  const shown = groups([GROUP, { ...GROUP, id: "flr_2", counts: [0, 5] }], new Map(), {}, false);
  expect(chart(shown, "1970-01-01T00:00:00Z", "1970-01-01T00:00:10Z")).toEqual({ times: [0, 5000], series: [{ name: "failed", colour: "bad", values: [1, 7] }] });
});

it("writes an issue that leads to an example", () => {
  expect(issueText(GROUP, "http://host")).toContain("http://host/runs/run_1");
});

it("leads to the runs with its message", () => {
  expect(filterOf({ ...GROUP, pattern: 'no "x" for …' })).toBe('status:failed function:pay error:"no …x… for …" step:"charge"');
});

it("asks for the failed runs of the function with its message", () => {
  expect(bulk(GROUP, "resume", "2026-01-01T00:00:00Z")).toEqual({ action: "resume", function_id: "pay", statuses: ["failed"], error: "card … declined", failed_step: "charge", since: "2026-01-01T00:00:00Z" });
});

it("cancels those whose next attempt is still to come", () => {
  expect(bulk(GROUP, "cancel", "2026-01-01T00:00:00Z")).toMatchObject({ action: "cancel", statuses: ["pending"], error: "card … declined", failed_step: "charge" });
  expect(which(GROUP, "cancel")).toBe("runs of pay that wait for their next attempt after this error at step charge");
  expect([canCancel(GROUP), canCancel({ ...GROUP, pattern: "…" }), canCancel({ ...GROUP, pattern: "…", step: "" })]).toEqual([true, true, false]);
});

it("names all failed runs of the function where the pattern stands for any message", () => {
  expect(which(GROUP, "resume")).toBe("failed runs of pay with this message at step charge");
  expect(which({ ...GROUP, pattern: "…" }, "resume")).toBe("all failed runs of pay at step charge in this time");
  for (const pattern of ["…", " … …", ""]) {
    expect(bulk({ ...GROUP, pattern }, "retry", "2026-01-01T00:00:00Z")).not.toHaveProperty("error");
    expect(which({ ...GROUP, pattern, step: "" }, "retry")).toBe("all failed runs of pay in this time, also those that failed for another reason");
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunRecord } from "../src/rest";
import { age, failureRow, functionRows, isUnderWay, runRow, runRows } from "../src/rows";

const NOW = Date.parse("2026-01-01T00:10:00Z");
const RUN: RunRecord = { id: "run_1", function_id: "order", status: "running", created_at: "2026-01-01T00:07:00Z" };

test("functions are sorted by id; name and status are shown where they say something", () => {
  const items = [
    { id: "ship", name: "Ship it", status: "FUNCTION_STATUS_PAUSED", recording: true },
    { id: "order", name: "order", status: "FUNCTION_STATUS_ACTIVE" },
  ];
  const rows = functionRows({ items, total: 2 }, 100);
  assert.deepEqual(rows.map(({ kind, label, description }) => [kind, label, description]), [
    ["function", "order", ""], ["function", "ship", "Ship it, paused"],
  ]);
  assert.match(rows[0]?.tooltip ?? "", /not recorded/);
});

test("a run shows its status, its age and how long it took", () => {
  assert.deepEqual(runRow({ ...RUN, status: "failed", started_at: "2026-01-01T00:07:00Z", ended_at: "2026-01-01T00:07:00.340Z", error: { message: "no stock" } }, NOW), {
    kind: "run", id: "run_1", label: "run_1", description: "failed, 3m ago", icon: "error", colour: "testing.iconFailed",
    tooltip: "run_1\nfailed, took 340 ms\ncreated 2026-01-01T00:07:00Z\nno stock",
  });
  assert.equal(runRow({ ...RUN, status: "paused", pause_reason: "sleep" }, NOW).description, "paused (sleep), 3m ago");
  assert.equal(runRow({ ...RUN, status: "new" }, NOW).icon, "question");
});

test("an age is in its largest unit, and never negative", () => {
  const ages = ["2026-01-01T00:09:59.5Z", "2026-01-01T00:09:01Z", "2025-12-31T22:00:00Z", "2025-12-30T00:00:00Z", "2026-01-01T00:11:00Z"];
  assert.deepEqual(ages.map((at) => age(at, NOW)), ["0s", "59s", "2h", "2d", "0s"]);
});

test("a list that is cut says so, and offers more up to the limit of the API", () => {
  const cut = { items: [RUN], total: 5 };
  assert.deepEqual(runRows("order", cut, 1000, NOW)[1], {
    kind: "more", id: "order", label: "Show more", description: "1 of 5", tooltip: "", icon: "ellipsis", colour: "",
  });
  assert.equal(runRows("order", cut, 1, NOW)[1]?.label, "The dashboard shows the rest");
  assert.equal(runRows("order", { items: [RUN], total: 1 }, 1, NOW).length, 1);
});

test("runs that have not ended are under way", () => {
  const under = ["pending", "running", "paused", "waiting", "completed", "failed", "cancelled"].filter((status) => isUnderWay({ status }));
  assert.deepEqual(under, ["pending", "running", "paused", "waiting"]);
  assert.equal(failureRow("no answer").label, "no answer");
});

import { expect, it } from "vitest";
import { changing, creation, draftOf, fault, isComplete, moment, runsOf, settings, spanMs, spanText, times, type Schedule } from "./model";
import { cli, python } from "./recipes";

const nightly = {
  id: "nightly", version: 3, function_id: "report", input: { day: 1 }, cron: "0 6 * * *", timezone: "Europe/Berlin", every_ms: 0, at: null, jitter_ms: 60_000,
  starts_at: null, ends_at: null, catch_up_ms: 3_600_000, overlap: "skip", description: "", status: "active", next_at: null, due_at: null, last_at: null,
  last_run_id: "", started: 4, skipped: 1, missed: 0, running: [], kept_at: null, backfills: [], created_at: "2026-01-01T00:00:00Z", updated_at: "2026-01-01T00:00:00Z",
} as Schedule;
const draft = { ...draftOf(undefined, "report"), id: "poll", kind: "every" as const, time: "15m" };

it("says when a schedule starts runs", () => {
  expect([nightly, { ...nightly, cron: "", every_ms: 900_000 }, { ...nightly, cron: "", at: "2027-01-01T00:00:00Z" }].map(times)).toEqual(["0 6 * * * Europe/Berlin", "every 15 m", "once"]);
});

it("reads spans and writes them as they are typed", () => {
  expect(["15m", "1h30m", "1.5h", "x", "15"].map(spanMs)).toEqual([900_000, 5_400_000, 5_400_000, undefined, undefined]);
  expect([900_000, 5_400_000, 1500, 0, null].map(spanText)).toEqual(["15m", "90m", "1500ms", "", ""]);
});

it("reads a moment or an age", () => {
  expect([moment("2027-01-31T12:00:00Z", 0), moment("1h", 3_600_000), moment("soon", 0)]).toEqual(["2027-01-31T12:00:00.000Z", "1970-01-01T00:00:00.000Z", undefined]);
});

it("refuses a form that cannot be sent, and says why", () => {
  expect(fault(draft)).toBe("");
  expect(fault({ ...draft, time: "often" })).toContain("15m");
  expect(fault({ ...draft, kind: "at", time: "7d" })).toContain("no moment");
  expect(fault({ ...draft, jitter: "x" })).toContain("no span");
  expect(fault({ ...draft, input: "{" })).toContain("no JSON");
  expect(fault({ ...draft, input: "9007199254740993" })).toContain("cannot hold");
  expect(fault({ ...draft, id: "a b" })).toContain("id");
  expect(isComplete({ ...draft, time: "" })).toBe(false);
});

it("creates with what is set", () => {
  expect(creation(draft)).toEqual({ id: "poll", function_id: "report", every_ms: 900_000, overlap: "all" });
});

it("changes at the version that was read, and clears what became empty", () => {
  const form = draftOf(nightly);
  expect(changing(form, nightly)).toEqual({
    expected_version: 3, function_id: "report", cron: "0 6 * * *", timezone: "Europe/Berlin", jitter_ms: 60_000, catch_up_ms: 3_600_000, overlap: "skip", input: { day: 1 },
  });
  expect(changing({ ...form, kind: "every", time: "1h", catchUp: "", input: "" }, nightly)).toMatchObject({ every_ms: 3_600_000, clear: ["input", "cron", "timezone", "catch_up_ms"] });
});

it("writes a form as Python and as a command line", () => {
  expect(python({ ...draft, input: "[1]" })).toBe('await client.schedules.create("poll", "report", json.loads("[1]"), every="15m", overlap="all")');
  expect(cli({ ...draft, input: "[1]" })).toBe("ironflow schedule create poll report --every 15m --overlap all --data '[1]'");
  expect(cli(draftOf(nightly), 3)).toContain("change nightly --expected-version 3 --function report --cron '0 6 * * *'");
});

it("says what differs, and how many runs ticks would start", () => {
  expect(settings(nightly)).toEqual([
    ["while a run goes on", "a tick starts none"], ["jitter", "up to 1 m later"], ["missed ticks", "each comes that is not older than 1 h"], ["ticks so far", "4 started, 1 skipped"],
  ]);
  expect([runsOf(1, false), runsOf(31, false), runsOf(1000, true)]).toEqual(["1 run", "31 runs", "more than 1,000 runs"]);
});

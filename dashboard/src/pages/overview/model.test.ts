import { expect, it } from "vitest";
import { behind, capped, chart, openBreakers, throughput, tiles, type Statistics } from "./model";

const FOUND = {
  since: "2026-01-01T00:00:00Z", until: "2026-01-01T01:00:00Z", unfinished: { pending: 2, paused: 1000 }, unfinished_cap: 1000, scanned: 7200, truncated: false,
  functions: [], slices: [{ at: "2026-01-01T00:00:00Z", completed: 3, failed: 1, cancelled: 0, unfinished: 2 }],
} as Statistics;

it("does not count beyond the cap", () => {
  expect([capped(1000, 1000), capped(999, 1000)]).toEqual(["1,000+", "999"]);
});

it("leads from each number to what it counts", () => {
  const made = tiles(FOUND, "1h");
  expect(made[0]).toEqual({ title: "Queued", value: "2", href: "/runs?filter=status%3Apending", bad: false });
  expect(made[3]).toMatchObject({ title: "Paused", value: "1,000+", bad: true });
  expect(made[4]).toMatchObject({ value: "1", href: "/errors?since=1h", bad: true });
});

it("puts failures at the bottom of the chart", () => {
  expect(chart(FOUND).series[0]).toEqual({ name: "failed", values: [1], colour: "bad" });
  expect(chart(FOUND).times).toEqual([Date.parse("2026-01-01T00:00:00Z")]);
});

it("gives the rate in the unit that has digits", () => {
  expect(throughput(FOUND)).toBe("2.0/s");
  expect(throughput({ ...FOUND, scanned: 60 })).toBe("1.0/min");
});

it("sorts projections with an error, then those far behind, to the top", () => {
  const status = (name: string, lag: number, error = "") => ({ name, lag, status: "active", error_message: error }) as never;
  expect(behind([status("a", 1), status("b", 9), status("c", 0, "boom")]).map((each) => each.name)).toEqual(["c", "b", "a"]);
});

it("shows breakers that are not closed, the latest failure first", () => {
  const breakers = [{ id: "a", state: "closed" }, { id: "b", state: "open", failed_at: "2026-01-01" }, { id: "c", state: "half_open", failed_at: "2026-01-02" }];
  expect(openBreakers(breakers as never).map((each) => each.id)).toEqual(["c", "b"]);
});

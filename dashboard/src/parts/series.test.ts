import { expect, it } from "vitest";
import { lines, moment, stacked, summary, type Series } from "./series";

const SERIES: Series[] = [{ name: "failed", colour: "bad", values: [1, 0, 2] }, { name: "completed", colour: "good", values: [3, 0, 0] }];

it("puts each series on those below", () => expect(stacked(SERIES)).toEqual([[1, 0, 2], [4, 0, 2]]));
it("says what a chart shows", () => {
  expect(summary("Runs", SERIES)).toBe("Runs: 3 failed, 3 completed");
  expect(summary("Runs", [])).toBe("Runs: nothing");
});
it("writes the time of the day, and the date where a day begins", () => {
  const at = Date.parse("2026-01-31T22:00:00Z");
  expect([at, at + 7_200_000].map((each) => moment(each, [at, at + 7_200_000], "utc"))).toEqual(["22:00", "02-01"]);
});
it("leaves out stretches without anything", () => expect(lines([10, 20, 30], SERIES)).toEqual([{ at: 10, values: [1, 3] }, { at: 30, values: [2, 0] }]));

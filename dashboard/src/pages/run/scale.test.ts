import { expect, it } from "vitest";
import { idle, scale, ticks } from "./scale";

const HOUR = 3_600_000;

it("is linear while nothing is idle for long", () => {
  const made = scale([{ from: 0, to: 1000 }], { from: 0, to: 1000 });
  expect([made.place(0), made.place(250), made.place(1000)]).toEqual([0, 0.25, 1]);
  expect(made.folds).toEqual([]);
});

it("folds a long wait, so that the work around it keeps its width", () => {
  const made = scale([{ from: 0, to: 1000 }, { from: 2 * HOUR, to: 2 * HOUR + 1000 }], { from: 0, to: 2 * HOUR + 1000 });
  expect(made.folds).toHaveLength(1);
  expect(made.folds[0]).toMatchObject({ from: 1000, to: 2 * HOUR });
  expect(made.place(1000)).toBeCloseTo(0.475);
  expect(made.place(2 * HOUR)).toBeCloseTo(0.525);
});

it("shows an opened fold to scale again", () => {
  const busy = [{ from: 0, to: 1000 }, { from: HOUR, to: HOUR + 1000 }];
  expect(scale(busy, { from: 0, to: HOUR + 1000 }, new Set([1000])).folds).toEqual([]);
});

it("finds the moment of each place", () => {
  const made = scale([{ from: 0, to: 1000 }, { from: HOUR, to: HOUR + 1000 }], { from: 0, to: HOUR + 1000 });
  for (const at of [0, 400, 1000, HOUR / 2, HOUR, HOUR + 700]) expect(made.moment(made.place(at))).toBeCloseTo(at, 3);
});

it("finds gaps between overlapping stretches", () => {
  expect(idle([{ from: 2, to: 5 }, { from: 1, to: 3 }], { from: 0, to: 9 })).toEqual([{ from: 0, to: 1 }, { from: 5, to: 9 }]);
});

it("puts round moments on the ruler and none into a fold", () => {
  const made = scale([{ from: 0, to: 1000 }, { from: HOUR, to: HOUR + 1000 }], { from: 0, to: HOUR + 1000 });
  const found = ticks(made, 8);
  expect(found.length).toBeGreaterThan(2);
  expect(found.every((at) => at <= 1000 || at >= HOUR)).toBe(true);
});

it("survives a run that took no time", () => {
  const made = scale([], { from: 5, to: 5 });
  expect(made.place(5)).toBe(0);
});

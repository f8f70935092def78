import { expect, it } from "vitest";
import { inSight } from "./visible";

const all = Array.from({ length: 1000 }, (_, index) => index);

it("draws what is in sight and ten rows beyond", () => {
  const { items } = inSight(all, 2800, 280, 28);
  expect([items[0], items.at(-1)]).toEqual([90, 119]);
});

it("has as many rows as elements, also at the ends", () => {
  for (const top of [0, 280, 28_000 - 280, 1e9]) {
    const { items, first, pool } = inSight(all, top, 280, 28);
    expect([items.length, pool, items[0]]).toEqual([30, 30, first]);
  }
});

it("draws a short list whole", () => expect(inSight([1, 2, 3], 0, 280, 28).items).toEqual([1, 2, 3]));

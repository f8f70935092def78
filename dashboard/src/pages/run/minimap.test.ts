import { expect, it } from "vitest";
import { marks } from "./minimap";
import type { Row } from "./model";
import { scale } from "./scale";

const row = (from: number, to: number, kind: "body" | "failed" = "body", open = false): Row => ({
  stepId: `${from}`, name: "step", type: "run", status: "completed", bracket: "", bars: [{ kind, from, to, open }], failures: [], note: "", childRunId: undefined, edited: false,
});
const time = scale([{ from: 0, to: 100 }], { from: 0, to: 100 });

it("draws time from left to right and steps from top to bottom, failed ones last", () => {
  expect(marks([row(0, 50, "failed"), row(50, 100), row(90, 100, "body", true)], time, 100, 30)).toEqual([
    { kind: "body", x: 50, y: 10, width: 50 }, { kind: "open", x: 90, y: 20, width: 10 }, { kind: "failed", x: 0, y: 0, width: 50 },
  ]);
});

it("draws steps of the same place once", () => {
  const many = Array.from({ length: 10_000 }, () => row(10, 11));
  expect(marks(many, time, 100, 50)).toHaveLength(50);
});

it("keeps the last moment on the map", () => {
  expect(marks([row(100, 100)], time, 100, 10)).toEqual([{ kind: "body", x: 99, y: 0, width: 1 }]);
});

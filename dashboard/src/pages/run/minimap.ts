// What a minimap of the steps draws: one mark for each bar, as pixels, and none twice in one place. Pure.

import type { Row } from "./model";
import type { Scale } from "./scale";

/** A minimap is shown above this number of rows. */
export const MAPPED_MIN = 200;

export interface Mark {
  kind: "body" | "wait" | "queue" | "open" | "failed";
  x: number;
  y: number;
  width: number;
}

/** Marks in the order of rows; failed ones come last, so that nothing hides them. width, height: of the map. */
export function marks(rows: Row[], scale: Scale, width: number, height: number): Mark[] {
  const found: Mark[] = [];
  const failed: Mark[] = [];
  const drawn = new Set<string>();
  rows.forEach((row, index) => {
    const y = Math.floor((index / Math.max(1, rows.length)) * height);
    for (const bar of row.bars) {
      const x = Math.floor(scale.place(bar.from) * width);
      const kind: Mark["kind"] = bar.open ? "open" : bar.kind;
      const mark: Mark = { kind, x: Math.min(x, width - 1), y, width: Math.max(1, Math.ceil(scale.place(bar.to) * width) - x) };
      const key = `${kind} ${mark.x} ${y} ${mark.width}`;
      if (drawn.has(key)) continue;
      drawn.add(key);
      (kind === "failed" ? failed : found).push(mark);
    }
  });
  return [...found, ...failed];
}

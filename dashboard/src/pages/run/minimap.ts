// What a minimap of the steps draws: one mark for each bar, as pixels, and none twice in one place. Pure.

import type { Row } from "./model";
import type { Scale } from "./scale";

/** A minimap is shown above this number of rows. */
export const MAPPED_MIN = 200;

const KINDS = ["body", "wait", "queue", "open", "failed"] as const;

export interface Mark {
  kind: (typeof KINDS)[number];
  x: number;
  y: number;
  width: number;
}

/** Marks in the order of rows; failed ones come last, so that nothing hides them. width, height: of the map. */
export function marks(rows: Row[], scale: Scale, width: number, height: number): Mark[] {
  const found: Mark[] = [];
  const failed: Mark[] = [];
  // Numbers as keys: texts take most of the time where there are 10,000 rows.
  const drawn = new Set<number>();
  rows.forEach((row, index) => {
    const y = Math.floor((index / Math.max(1, rows.length)) * height);
    for (const bar of row.bars) {
      const kind: Mark["kind"] = bar.open ? "open" : bar.kind;
      const left = Math.floor(scale.place(bar.from) * width);
      const wide = Math.max(1, Math.ceil(scale.place(bar.to) * width) - left);
      const x = Math.min(left, width - 1);
      const key = ((y * (width + 1) + x) * (width + 2) + wide) * KINDS.length + KINDS.indexOf(kind);
      if (drawn.has(key)) continue;
      drawn.add(key);
      (kind === "failed" ? failed : found).push({ kind, x, y, width: wide });
    }
  });
  return [...found, ...failed];
}

// What the gallery shows the shared components with: values of every kind that a page has. Pure.

import type { Change } from "../../parts/difference";
import { fieldOf, type Field } from "../../parts/form";
import type { Series } from "../../parts/series";

export const STATUSES = ["queued", "running", "waiting", "paused", "completed", "failed", "cancelling", "cancelled", "active", "ended", "a status of a newer server"];

/** Markup, a right-to-left override and a control character: shown as text and marks, never interpreted. */
export const PROBE = "<b>markup</b> \u202e\u0007";

export const CHANGES: Change[] = [
  { kind: "added", path: "currency", before: undefined, after: "EUR" },
  { kind: "removed", path: "note", before: PROBE, after: undefined },
  { kind: "changed", path: "retry.max_attempts", before: 1, after: 5 },
];

export const JSON_VALUE = { order: "ord_20479", items: ["a-1", "a-2"], total: 1200, paid: true, note: PROBE, address: null, link: "https://shop.example/orders/20479" };

export interface Sample {
  id: string;
  name: string;
  note: string;
  count: number;
  at: string;
}

/** Rows of a list; now: in milliseconds. */
export function samples(now: number): Sample[] {
  return [0, 1, 2].map((index) => ({
    id: `run_01M8PAAPRMWD95E6VXD8R9S1N${index}`, name: ["process-order", "ship", "settle"][index]!, note: ["insufficient funds on card 9002", "", PROBE][index]!,
    count: [1234, 0, 7][index]!, at: new Date(now - 90_000 * (index + 1)).toISOString(),
  }));
}

/** Bars of an hour of runs, some of them failed. */
export function bars(): { title: string; parts: { value: number; colour: "good" | "bad" | "busy" | "muted" }[] }[] {
  return Array.from({ length: 30 }, (_, index) => {
    const [good, bad] = [5 + ((index * 7) % 11), index % 9 === 0 ? 3 : 0];
    return { title: `minute ${index}: ${good} completed, ${bad} failed`, parts: [{ value: good, colour: "good" as const }, { value: bad, colour: "bad" as const }] };
  });
}

/** A field of each kind. */
export const FORM: Field = fieldOf({
  type: "object", required: ["order", "amount"],
  properties: {
    order: { type: "string", description: PROBE, maxLength: 20 }, amount: { type: "integer", minimum: 1 }, gift: { type: "boolean" }, kind: { enum: ["plain", "express"] },
    due: { type: "string", format: "date" }, at: { type: "string", format: "date-time" }, to: { type: "object", properties: { city: { type: "string" } } },
    lines: { type: "array", items: { type: "object", required: ["sku"], properties: { sku: { type: "string" }, count: { type: "integer" } } } }, way: { oneOf: [{ type: "string" }, { type: "object" }] },
  },
}, {});

/** A day of runs by half hours. */
export function series(): { times: number[]; series: Series[] } {
  const made = bars();
  const of = (name: string, colour: Series["colour"], index: number): Series => ({ name, colour, values: made.map((bar) => bar.parts[index]?.value ?? 0) });
  return { times: made.map((_, index) => Date.parse("2026-01-31T00:00:00Z") + index * 1_800_000), series: [of("failed", "bad", 1), of("completed", "good", 0)] };
}

/** Spans and sizes as they are written. */
export const FORMATS: { spans: number[]; sizes: number[] } = { spans: [31, 4600, 130_000, 7_980_000, 273_600_000], sizes: [512, 1_200_000] };

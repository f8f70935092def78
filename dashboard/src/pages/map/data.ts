// Loads what the newest runs and events show: what started what, what was emitted and published, which groups read it.

import { ask, permitted, type Refusals } from "../../api/client";
import type { Flow, Group, Kind, Seen } from "./model";

/** How many of the newest runs and events are looked at. */
export const NEWEST = 5000;

const RUNS = `(SELECT id, function_id, event_name, parent_run_id, status FROM runs ORDER BY id DESC LIMIT ${NEWEST}) AS r`;
const EVENTS = `(SELECT kind, name, coalesce(run_id, emitted_by) AS emitter FROM events ORDER BY seq DESC LIMIT ${NEWEST}) AS e`;
const FAILED = "sum(CASE WHEN r.status = 'failed' THEN 1 ELSE 0 END)";
const STARTED = `SELECT coalesce(r.event_name, ''), r.function_id, count(*), ${FAILED} FROM ${RUNS} WHERE r.parent_run_id IS NULL GROUP BY coalesce(r.event_name, ''), r.function_id`;
const INVOKED = `SELECT p.function_id, r.function_id, count(*), ${FAILED} FROM ${RUNS} JOIN runs AS p ON p.id = r.parent_run_id GROUP BY p.function_id, r.function_id`;
const EMITTED = `SELECT p.function_id, e.kind, e.name, count(*) FROM ${EVENTS} JOIN runs AS p ON p.id = e.emitter GROUP BY p.function_id, e.kind, e.name`;
const NAMES = `SELECT e.kind, e.name, count(*) FROM ${EVENTS} GROUP BY e.kind, e.name`;

export interface Found {
  flows: Flow[];
  seen: Seen[];
  groups: Group[];
  refusals: Refusals;
}

/** Raises Failure, as for a key that may not query. */
export async function observed(signal: AbortSignal): Promise<Found> {
  const refusals: Refusals = [];
  const rows = async (query: string) => (await ask("post", "/api/v1/sql", { body: { query, max_rows: 1000 }, signal })).rows as unknown[][];
  // A node answers two queries at a time, so they are asked one after another.
  const started = await rows(STARTED);
  const invoked = await rows(INVOKED);
  const emitted = await rows(EMITTED);
  const names = await rows(NAMES);
  const groups = await permitted(ask("get", "/api/v1/consumer-groups", { query: { limit: 200 }, signal }), refusals);
  const kind = (text: unknown): Kind => (text === "topic" ? "topic" : "event");
  return {
    flows: [
      ...started.map(([event, fn, count, failed]) => ({ from: { kind: "event" as const, name: String(event) }, to: { kind: "function" as const, name: String(fn) }, count: Number(count), failed: Number(failed) })),
      ...invoked.map(([parent, fn, count, failed]) => ({ from: { kind: "function" as const, name: String(parent) }, to: { kind: "function" as const, name: String(fn) }, count: Number(count), failed: Number(failed) })),
      ...emitted.map(([fn, what, name, count]) => ({ from: { kind: "function" as const, name: String(fn) }, to: { kind: kind(what), name: String(name) }, count: Number(count), failed: 0 })),
    ].filter((flow) => flow.from.name !== ""),
    seen: names.map(([what, name, count]) => ({ kind: kind(what), name: String(name), count: Number(count) })),
    groups: (groups?.groups ?? []).map((group) => ({ name: group.name ?? "", namespace: group.namespace ?? "", pattern: group.pattern ?? "" })),
    refusals,
  };
}

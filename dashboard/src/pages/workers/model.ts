// Workers: how busy they are and whether they made a request lately. Pure.

import type { Schemas } from "../../api/client";

export type Worker = Schemas["Worker"];

/** Heartbeats come every 30 s; after two are missing, a worker is silent. */
const SILENT_MS = 75_000;

export function isSilent(worker: Worker, now: number): boolean {
  return now - Date.parse(worker.last_heartbeat) > SILENT_MS;
}

/** The part of its slots that are taken, from 0 to 1. */
export function load(worker: Worker): number {
  return Math.min(1, worker.active_jobs / Math.max(1, worker.max_concurrent));
}

/** Functions that no worker serves, of those that are called by workers. */
export function unserved(functions: Schemas["Function"][], workers: Worker[]): string[] {
  const served = new Set(workers.flatMap((worker) => worker.function_ids));
  return functions.filter((each) => !each.endpoint_url && !served.has(each.id)).map((each) => each.id);
}

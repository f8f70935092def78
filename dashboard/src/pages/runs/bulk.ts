// Bulk actions on runs: those that were chosen one by one, or all that pass the filter. Pure.

import type { Query } from "./model";

export type Action = "cancel" | "retry" | "resume";

export const ACTIONS: Record<Action, { title: string; effect: string }> = {
  cancel: { title: "Cancel", effect: "Each ends as cancelled: at once, or after its compensations where its function says so. This cannot be undone: a cancelled run can only be started anew." },
  retry: { title: "Retry", effect: "Each failed run starts again: every step runs again." },
  resume: { title: "Resume", effect: "Each paused or failed run goes on with its recorded results: only what failed, and what comes after it, runs." },
};

/** What takes an action back. A cancelled run stays cancelled, and a retried one has begun anew. */
export const UNDO: Partial<Record<Action, { verb: string; title: string }>> = { resume: { verb: "pause", title: "Undo: pause them again" } };

const FIELDS = ["function_id", "event_id", "search", "since", "until"] as const;

/** The body of `POST /api/v1/runs/bulk` for the query of the list; undefined where the list filters by what it cannot. */
export function body(action: Action, query: Query): Record<string, unknown> | undefined {
  if (query["parent_run_id"] !== undefined) return undefined;
  const made: Record<string, unknown> = { action };
  for (const field of FIELDS) if (query[field] !== undefined) made[field] = query[field];
  if (query["status"] !== undefined) made["statuses"] = [query["status"]];
  return made;
}

/** The address of the request that does the action to one run. */
export function one(action: Action, id: string): string {
  return `/api/v1/runs/${encodeURIComponent(id)}/${action}`;
}

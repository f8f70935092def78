// Bulk actions on runs: those that were chosen one by one, or all that pass the filter. Pure.

import { count } from "../../format";
import type { Query } from "./model";

export type Action = "cancel" | "retry" | "resume" | "pause";
/** The body of `POST /api/v1/runs/bulk`. */
export interface Wanted {
  action: Action;
  [name: string]: unknown;
}

export const ACTIONS: Record<Action, { title: string; effect: string }> = {
  cancel: { title: "Cancel", effect: "Each ends as cancelled: at once, or after its compensations where its function says so. A cancelled run can only be started anew." },
  retry: { title: "Retry", effect: "Each failed run starts again: its recorded results are dropped, and every step runs again." },
  resume: { title: "Resume", effect: "Each paused or failed run goes on with its recorded results: only what failed, and what comes after it, runs." },
  pause: { title: "Pause", effect: "Each run that has not ended stops at its next step boundary. Nothing is lost." },
};

/** What takes an action back, and what that means. A cancelled run stays cancelled, and a retried one has begun anew. */
export const UNDO: Partial<Record<Action, { verb: Action; title: string; note: string }>> = {
  resume: { verb: "pause", title: "Undo: pause them again", note: "This can be undone for a day: runs that have not ended by then are paused, failed ones too. Steps that ran meanwhile have run." },
  pause: { verb: "resume", title: "Undo: resume them", note: "This can be undone for a day: the same runs are resumed." },
};

/** What has to be typed before an action that cannot be undone, so that its extent is read. */
export function phrase(action: Action, runs: Extent): string {
  return `${action} ${extent(runs)}`;
}

/** How many runs an action takes. more: there are more, or may be. */
export interface Extent {
  matched: number;
  more?: boolean;
}

/** `1,234`, or `10,000+`. */
export const extent = (runs: Extent): string => `${count(runs.matched)}${runs.more ? "+" : ""}`;

const FIELDS = ["function_id", "event_id", "parent_run_id", "key", "search", "error", "failed_step", "output", "since", "until"] as const;
const OPTIONS: Record<string, string> = {
  function_id: "function", event_id: "event", parent_run_id: "parent", key: "key", search: "search", error: "error", failed_step: "step", output: "output", since: "since", until: "until",
};

/** The body of `POST /api/v1/runs/bulk` for the query of the list. */
export function body(action: Action, query: Query): Wanted {
  const made: Wanted = { action };
  for (const field of FIELDS) if (query[field] !== undefined) made[field] = query[field];
  if (query["status"] !== undefined) made["statuses"] = [query["status"]];
  return made;
}

const quoted = (text: string): string => (/^[\w.:=/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The same on the command line. */
export function cliOf(wanted: Wanted): string {
  const statuses = (wanted["statuses"] as string[] | undefined) ?? [];
  const options = FIELDS.filter((field) => wanted[field] !== undefined).map((field) => `--${OPTIONS[field]} ${quoted(String(wanted[field]))}`);
  const because = wanted["reason"] ? [`--reason ${quoted(String(wanted["reason"]))}`] : [];
  return ["ironflow run bulk start", wanted.action, ...options, ...statuses.map((status) => `--status ${status}`), ...because].join(" ");
}

export interface Progress {
  status: "running" | "done" | "stopped";
  matched: number;
  changed: number;
  refused: number;
}

/** Acts on runs one by one; a refusal does not keep the others from it. Returns those that it has changed.
 *
 * act: whether the run was changed. isStopped: asked before each run; the one in flight is waited for. */
export async function each(ids: string[], act: (id: string) => Promise<boolean>, isStopped: () => boolean, shown: (progress: Progress) => void): Promise<string[]> {
  const changed: string[] = [];
  let refused = 0;
  for (const id of ids) {
    if (isStopped()) break;
    if (await act(id)) changed.push(id);
    else refused += 1;
    const all = changed.length + refused === ids.length;
    shown({ status: all ? "done" : isStopped() ? "stopped" : "running", matched: ids.length, changed: changed.length, refused });
  }
  return changed;
}

/** Whether the undo of a pause resumes this run: one that has failed would begin again, and no pause did that. */
export function isHeld(run: { state?: string | null | undefined; pause_requested?: boolean }): boolean {
  return run.pause_requested === true || run.state === "paused: injection";
}

/** The address of the request that does the action to one run. */
export function one(action: string, id: string): string {
  return `/api/v1/runs/${encodeURIComponent(id)}/${action}`;
}

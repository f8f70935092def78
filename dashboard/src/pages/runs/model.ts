// The list of runs: from the filter line to a request, and from runs to rows. Pure.

import type { Schemas } from "../../api/client";
import { moment, terms } from "../../parts/filter";
import { stateOf } from "../../parts/status";

export type Run = Schemas["Run"];

export interface Query {
  [name: string]: string | number | undefined;
}

const STATUSES = new Set(["pending", "queued", "running", "waiting", "paused", "completed", "failed", "cancelled"]);

/** The query of `GET /api/v1/runs` for a filter line, and what of the line it could not use. */
export function query(line: string, now: number): { query: Query; faults: string[] } {
  const asked: Query = {};
  const faults: string[] = [];
  const texts: string[] = [];
  for (const { name, value } of terms(line)) {
    if (name === "") texts.push(value);
    else if (name === "status") {
      if (STATUSES.has(value)) asked["status"] = value;
      else faults.push(`status:${value} is no status; one of ${[...STATUSES].join(", ")}`);
    } else if (name === "function") asked["function_id"] = value;
    else if (name === "event") asked["event_id"] = value;
    else if (name === "parent") asked["parent_run_id"] = value;
    else if (name === "step") asked["failed_step"] = value;
    else if (name === "key" || name === "error") asked[name] = value;
    else if (name === "output") {
      if (/^[^=]+=/.test(value)) asked["output"] = value;
      else faults.push(`output:${value} has no value; write output:order.total=1200`);
    }
    else if (name === "since" || name === "until") {
      const at = moment(value, now);
      if (at) asked[name] = at;
      else faults.push(`${name}:${value} is no time; write 1h, 30m, 7d or 2026-01-31T12:00Z`);
    } else faults.push(`${name}: is not known; use status, function, event, parent, key, error, step, output, since, until or a text`);
  }
  if (texts.length > 0) asked["search"] = texts.join(" ");
  return { query: asked, faults };
}

/** In so many runs a text is looked for at a time; the list says how far back that was. */
export const SCAN_MAX = 100_000;

export interface Row {
  id: string;
  functionId: string;
  state: string;
  /** The answer to "why": an error's text, or what a waiting run waits for. */
  note: string;
  at: string;
  took: number | undefined;
}

const RESTS: Record<string, string> = { sleep: "sleeps", wait_event: "waits for an event", invoke: "waits for its child run" };

/** What an unfinished run waits for, with the time at which it goes on by itself. */
function waiting(run: Run): string {
  const reason = run.pause_reason || (run.state?.split(": ")[1] ?? "");
  if (reason === "injection") return `paused by ${run.paused_by ?? "hand"}${run.pause_note ? `: ${run.pause_note}` : ""}`;
  const until = run.next_attempt_at ? `, at most until ${run.next_attempt_at.slice(0, 19)}Z` : "";
  return reason ? (RESTS[reason] ?? reason) + until : "";
}

/** The runs of a page that are queued: the list does not say for what. */
export function queued(runs: Run[]): string[] {
  return runs.filter((run) => run.status === "pending").map((run) => run.id);
}

/** why: the server's sentence about a run that is queued. */
export function rowOf(run: Run, why = ""): Row {
  const began = run.started_at ? Date.parse(run.started_at) : undefined;
  const ended = run.ended_at ? Date.parse(run.ended_at) : undefined;
  return {
    id: run.id,
    functionId: run.function_id,
    state: stateOf(run),
    note: run.error?.message ?? run.cancellation_cause ?? (waiting(run) || why),
    at: run.created_at,
    took: began !== undefined && ended !== undefined ? ended - began : undefined,
  };
}

// Projections: what state each is in, and how far a rebuild has come. Pure.

import type { Schemas } from "../../api/client";
import { count, exact, span, visible } from "../../format";

export type Status = Schemas["Status"];
export type RebuildShown = Schemas["RebuildShown"];

const WORST = ["error", "paused", "rebuilding", "active"];

/** Those in trouble first, then those that are behind, then by name. */
export function ordered(all: Status[]): Status[] {
  return all.toSorted((a, b) => WORST.indexOf(a.status) - WORST.indexOf(b.status) || b.lag - a.lag || a.name.localeCompare(b.name));
}

export function isSql(projection: { type?: string | null }): boolean {
  return projection.type === "sql";
}

/** Where it is, as a sentence for its row. */
export function note(each: Status, now: number): string {
  if (each.error_message) return each.error_message;
  if (each.status === "rebuilding") {
    const [from, to] = [each.rebuild_start_cursor ?? 0, each.rebuild_target_seq ?? 0];
    const began = each.rebuild_started_at ? `, for ${span(Math.max(0, now - Date.parse(each.rebuild_started_at)))}` : "";
    return to > from ? `new version up to ${count(to)}${began}` : `a new version is being filled${began}`;
  }
  return each.lag > 0 ? `${count(each.lag)} events behind` : "";
}

/** That a state is not that of the moment that was asked for, and why; empty where it is. */
export function inexact(asOf: Schemas["AsOf"] | null | undefined, zone: "utc" | "local"): string {
  if (!asOf || asOf.exact) return "";
  const kept = asOf.last_event_time ? ` of ${exact(Date.parse(asOf.last_event_time), zone)}, position ${asOf.last_event_seq}` : "";
  return `Not the state of that time: the last one kept before it${kept}; ${visible(asOf.missing ?? "")}.`;
}

/** A rebuild as one line; a finished one names what it did. */
export function rebuildLine(job: RebuildShown): string {
  const done = `${count(job.events_processed ?? 0)} of ${count(job.total_events ?? 0)} events`;
  if (job.status === "rebuilding") return `${Math.floor((job.progress ?? 0) * 100)} %, ${done}${job.estimated_remaining ? `, ${job.estimated_remaining} left` : ""}`;
  return `${job.status.replaceAll("_", " ")}, ${done}${job.error ? `: ${job.error}` : ""}`;
}

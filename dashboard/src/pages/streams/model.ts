// Streams: what an entity was at a version, folded from its events. Pure.

import type { Schemas } from "../../api/client";
import { difference, type Change } from "../../parts/difference";

export type StreamEvent = Schemas["StreamEvent"];
export type Snapshot = Schemas["Snapshot"];

/** Events that one view folds; an entity with more needs a snapshot. */
export const FOLD_MAX = 2000;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * The members of the events' data, each as the last event that has it wrote it, upon what a snapshot kept.
 * The server does not run anyone's fold: this one is the same for every entity.
 */
export function fold(snapshot: Snapshot | undefined, events: StreamEvent[], version: number): unknown {
  const from = snapshot?.entity_version ?? 0;
  return events
    .filter((event) => event.entity_version > from && event.entity_version <= version)
    .toSorted((a, b) => a.entity_version - b.entity_version)
    .reduce<unknown>((state, event) => (isObject(state) && isObject(event.data) ? { ...state, ...event.data } : event.data ?? state), snapshot?.state ?? {});
}

/** What the event of a version changed. */
export function changesOf(snapshot: Snapshot | undefined, events: StreamEvent[], version: number): Change[] {
  if (snapshot?.entity_version === version) return [];
  return difference(fold(snapshot, events, version - 1), fold(snapshot, events, version));
}

/** The version that the address names, within those that there are. */
export function versionOf(text: string | null, newest: number): number {
  const wanted = Number(text);
  return text && Number.isInteger(wanted) ? Math.min(Math.max(wanted, 1), newest) : newest;
}

// Event schemas: grouped by event, and the difference of two versions. Pure.

import type { Schemas } from "../../api/client";
import { count } from "../../format";

export type Schema = Schemas["SchemaInfo"];

export interface EventSchemas {
  event: string;
  /** Newest first. */
  versions: Schema[];
}

/** By event name; versions newest first. */
export function grouped(all: Schema[]): EventSchemas[] {
  const found = new Map<string, Schema[]>();
  for (const schema of all) found.set(schema.event_name, [...(found.get(schema.event_name) ?? []), schema]);
  return [...found]
    .map(([event, versions]) => ({ event, versions: versions.toSorted((a, b) => b.version - a.version) }))
    .sort((a, b) => a.event.localeCompare(b.event));
}

/** The fields that a schema names, such as `customer, total?`; those with `?` may be missing. */
export function fields(schema: unknown): string {
  const { properties, required } = (schema ?? {}) as { properties?: Record<string, unknown>; required?: string[] };
  const names = new Set([...(required ?? []), ...Object.keys(properties ?? {})]);
  return [...names].map((name) => (required?.includes(name) ? name : `${name}?`)).join(", ");
}

/** The version that the address names, or the newest; and the one to compare it with: the next older unless named. */
export function chosen(versions: Schema[], version: string | null, other: string | null): { shown: Schema | undefined; before: Schema | undefined } {
  const shown = versions.find((each) => String(each.version) === version) ?? versions[0];
  const older = versions.find((each) => each.version < (shown?.version ?? 0));
  return { shown, before: versions.find((each) => String(each.version) === other) ?? older };
}

/** How past events fit a schema, as a sentence. version: the only one that was looked for; 0 for all. */
export function checkedText(result: Schemas["EventsChecked"], version = 0): string {
  if (result.checked === 0) return result.more ? `None of the newest events of this name is of version ${version}.` : `No event of this name${version ? ` and version ${version}` : ""} is recorded.`;
  const which = result.more ? `the newest ${count(result.checked)} events` : `${count(result.checked)} ${result.checked === 1 ? "event" : "events"}`;
  return result.fit === result.checked ? `All of ${which} fit.` : `${count(result.checked - result.fit)} of ${which} do not fit.`;
}

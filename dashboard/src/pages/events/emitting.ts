// What the emit form holds: where it begins, what is kept of it in this tab, and what it sends. Pure but for `kept` and `keep`.

import type { Schemas } from "../../api/client";
import { argument } from "../../parts/copy";
import { written } from "../../parts/form";

const KEPT = "ironflow.emit";
/** Larger texts are not kept over a reload: the browser gives a tab about 5 MB. */
const KEPT_CHARS = 1_000_000;

export interface Draft {
  /** Environment and page where it was typed. */
  where: string;
  event: string;
  version: number;
  text: string;
}

/** The draft that was typed at this place, unless the form is asked for another event. */
export function draftFor(stored: string | null, where: string, event: string): Draft | undefined {
  if (!stored) return undefined;
  const draft = JSON.parse(stored) as Draft;
  return draft.where === where && draft.text !== "" && (event === "" || draft.event === event) ? draft : undefined;
}

export function kept(where: string, event: string): Draft | undefined {
  return draftFor(sessionStorage.getItem(KEPT), where, event);
}

/** Keeps what is typed until the tab is closed; undefined forgets it. */
export function keep(draft: Draft | undefined): void {
  if (draft && draft.text.length <= KEPT_CHARS) sessionStorage.setItem(KEPT, JSON.stringify(draft));
  else sessionStorage.removeItem(KEPT);
}

/** The schema of a version, else the newest. */
export function schemaOf(schemas: Schemas["SchemaInfo"][], version: number): Schemas["SchemaInfo"] | undefined {
  return schemas.find((each) => each.version === version) ?? schemas.toSorted((a, b) => b.version - a.version)[0];
}

/** The JSON of a text; undefined for a text that is none. An empty text is null. */
export function parsed(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text.trim() || "null") as unknown };
  } catch {
    return undefined;
  }
}

/** The same emit as Python and as a command. */
export function recipes(event: string, version: number, value: unknown): { python: string; cli: string } {
  const text = JSON.stringify(value ?? null);
  const of = version > 1;
  return {
    python: `await client.emit(${JSON.stringify(event)}, json.loads(${JSON.stringify(text)})${of ? `, version=${version}` : ""})`,
    cli: `ironflow emit ${argument(event)} --data '${text.replaceAll("'", `'\\''`)}'${of ? ` --version ${version}` : ""}`,
  };
}

/** The data of an event as the text of the form. */
export function textOf(data: unknown): string {
  return data === null || data === undefined ? "" : written(data);
}

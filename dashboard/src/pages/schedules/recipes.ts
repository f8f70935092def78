// What a form of a schedule does as Python and as a command line. Pure.

import type { Draft } from "./model";

const text = (value: string): string => JSON.stringify(value);
export const quoted = (value: string): string => (/^[\w./:@-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`);

interface Option {
  python: string;
  cli: string;
  value: string;
  /** How Python writes it: as text, or as a datetime. */
  moment?: boolean;
}

function options(draft: Draft): Option[] {
  const time: Option = draft.kind === "at" ? { python: "at", cli: "at", value: draft.time, moment: true } : { python: draft.kind, cli: draft.kind, value: draft.time };
  return [
    time,
    { python: "tz", cli: "tz", value: draft.kind === "cron" ? draft.zone : "" },
    { python: "jitter", cli: "jitter", value: draft.jitter },
    { python: "start", cli: "start", value: draft.starts, moment: true },
    { python: "end", cli: "end", value: draft.ends, moment: true },
    { python: "catch_up", cli: "catch-up", value: draft.catchUp },
    { python: "overlap", cli: "overlap", value: draft.overlap },
    { python: "description", cli: "description", value: draft.description },
  ].filter((option) => option.value.trim() !== "");
}

/** change: the version that is expected; undefined for a new schedule. */
export function python(draft: Draft, change?: number): string {
  const given = options(draft).map((option) => `${option.python}=${option.moment ? `datetime.fromisoformat(${text(option.value.trim())})` : text(option.value.trim())}`);
  const input = draft.input.trim() ? [`${change === undefined ? "" : "input="}json.loads(${text(draft.input.trim())})`] : [];
  if (change === undefined) return `await client.schedules.create(${[text(draft.id.trim()), text(draft.fn.trim()), ...input, ...given, ...(draft.paused ? ["paused=True"] : [])].join(", ")})`;
  return `await client.schedules.change(${[text(draft.id), `expected_version=${change}`, `function_id=${text(draft.fn.trim())}`, ...input, ...given].join(", ")})`;
}

export function cli(draft: Draft, change?: number): string {
  const given = options(draft).map((option) => `--${option.cli} ${quoted(option.value.trim())}`);
  const input = draft.input.trim() ? [`--data ${quoted(draft.input.trim())}`] : [];
  if (change === undefined) return ["ironflow schedule create", quoted(draft.id.trim()), quoted(draft.fn.trim()), ...given, ...input, ...(draft.paused ? ["--paused"] : [])].join(" ");
  return ["ironflow schedule change", quoted(draft.id), `--expected-version ${change}`, `--function ${quoted(draft.fn.trim())}`, ...given, ...input].join(" ");
}

/** The call that backfills a range. */
export function backfillPython(id: string, since: string, until: string, overlap: string): string {
  return `await client.schedules.backfill(${text(id)}, datetime.fromisoformat(${text(since)}), datetime.fromisoformat(${text(until)}), overlap=${text(overlap)})`;
}


// Schedules: their times as sentences, the form of one, and the requests that it makes. Pure.

import type { Schemas } from "../../api/client";
import { count, span } from "../../format";
import { jsonFault } from "../../parts/jsonText";

export type Schedule = Schemas["Schedule"];
export type Kind = "cron" | "every" | "at";

/** The fields of the form as text, as they are typed. */
export interface Draft {
  id: string;
  fn: string;
  kind: Kind;
  /** A cron expression, an interval such as `15m`, or a moment. */
  time: string;
  zone: string;
  input: string;
  jitter: string;
  starts: string;
  ends: string;
  catchUp: string;
  overlap: string;
  description: string;
  paused: boolean;
}

export const OVERLAPS: Record<string, string> = {
  all: "starts a run all the same",
  skip: "starts none",
  one: "waits until it has ended",
  cancel_running: "cancels it, then starts",
};
export const TIMES: Record<Kind, { title: string; example: string }> = {
  cron: { title: "Cron expression", example: "0 6 * * 1-5" },
  every: { title: "Interval", example: "15m" },
  at: { title: "Moment", example: "2027-01-31T12:00:00Z" },
};
const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** When it starts runs, such as `0 6 * * 1-5 Europe/Berlin` or `every 15 m`; a moment stands in `at`. */
export function times(schedule: Schedule): string {
  if (schedule.cron) return `${schedule.cron}${schedule.timezone ? ` ${schedule.timezone}` : ""}`;
  return schedule.every_ms ? `every ${span(schedule.every_ms)}` : "once";
}

/** Milliseconds of a span such as `15m`, `1.5h`, `1h30m`; undefined for what is none. */
export function spanMs(text: string): number | undefined {
  const parts = [...text.trim().matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join("") !== text.trim()) return undefined;
  return Math.round(parts.reduce((sum, part) => sum + Number(part[1]) * UNITS[part[2]!]!, 0));
}

/** A span as it is typed: the largest unit that fits whole; empty for none. */
export function spanText(ms: number | null | undefined): string {
  if (!ms) return "";
  const [unit, size] = Object.entries(UNITS).toReversed().find(([, each]) => ms % each === 0)!;
  return `${ms / size}${unit}`;
}

/** A moment as RFC 3339 from what is typed: itself, or an age such as `7d`; undefined for what is neither. */
export function moment(text: string, now: number): string | undefined {
  const age = spanMs(text);
  const at = age === undefined ? (/^\d{4}-\d\d-\d\d/.test(text.trim()) ? Date.parse(text.trim()) : NaN) : now - age;
  return Number.isNaN(at) ? undefined : new Date(at).toISOString();
}

/** The form of a schedule; of none, an empty one for `fn`. */
export function draftOf(schedule: Schedule | undefined, fn = ""): Draft {
  const kind: Kind = schedule?.every_ms ? "every" : schedule?.at ? "at" : "cron";
  const time = schedule ? { cron: schedule.cron, every: spanText(schedule.every_ms), at: schedule.at ?? "" }[kind] : "";
  return {
    id: schedule?.id ?? "", fn: schedule?.function_id ?? fn, kind, time, zone: schedule?.timezone ?? "",
    input: schedule && schedule.input !== null ? JSON.stringify(schedule.input, null, 2) : "",
    jitter: spanText(schedule?.jitter_ms), starts: schedule?.starts_at ?? "", ends: schedule?.ends_at ?? "",
    catchUp: spanText(schedule?.catch_up_ms), overlap: schedule?.overlap ?? "all", description: schedule?.description ?? "", paused: false,
  };
}

/** Why a form cannot be sent, as a sentence; empty when it can. Whether a cron expression is one, the server decides. */
export function fault(draft: Draft): string {
  if (draft.id && !/^[\w.-]{1,128}$/.test(draft.id.trim())) return "An id has up to 128 letters, digits, _, - and dots.";
  if (draft.kind === "every" && draft.time && spanMs(draft.time) === undefined) return "An interval is a number with a unit, such as 15m.";
  for (const text of [draft.kind === "at" ? draft.time : "", draft.starts, draft.ends]) {
    if (text && (spanMs(text) !== undefined || moment(text, 0) === undefined)) return `${text} is no moment such as 2027-01-31T12:00:00Z.`;
  }
  for (const text of [draft.jitter, draft.catchUp]) if (text && spanMs(text) === undefined) return `${text} is no span such as 10m.`;
  return jsonFault(draft.input, "input");
}

export function isComplete(draft: Draft): boolean {
  return draft.id.trim() !== "" && draft.fn.trim() !== "" && draft.time.trim() !== "" && fault(draft) === "";
}

/** The body that creates the schedule: what is set. */
export function creation(draft: Draft): Partial<Schemas["CreateSchedule"]> {
  return { id: draft.id.trim(), ...fields(draft), ...(draft.paused ? { paused: true } : {}) };
}

/** The body that makes `before` what the form says; it is refused when the schedule has changed meanwhile. */
export function changing(draft: Draft, before: Schedule): Partial<Schemas["ChangeSchedule"]> {
  const given = fields(draft);
  const clear = (["input", "cron", "timezone", "every_ms", "at", "jitter_ms", "starts_at", "ends_at", "catch_up_ms", "description"] as const).filter((name) => before[name] && given[name] === undefined);
  return { expected_version: before.version, ...given, ...(clear.length > 0 ? { clear } : {}) };
}

function fields(draft: Draft): Partial<Schemas["CreateSchedule"]> {
  const set: [keyof Schemas["CreateSchedule"], unknown][] = [
    ["function_id", draft.fn.trim()], ["cron", draft.kind === "cron" ? draft.time.trim() : ""], ["timezone", draft.kind === "cron" ? draft.zone.trim() : ""],
    ["every_ms", draft.kind === "every" ? spanMs(draft.time) : 0], ["at", draft.kind === "at" ? moment(draft.time, 0) : ""],
    ["jitter_ms", spanMs(draft.jitter)], ["starts_at", moment(draft.starts, 0)], ["ends_at", moment(draft.ends, 0)],
    ["catch_up_ms", spanMs(draft.catchUp)], ["overlap", draft.overlap], ["description", draft.description.trim()],
  ];
  const input: unknown = draft.input.trim() && jsonFault(draft.input, "input") === "" ? JSON.parse(draft.input) : null;
  return { ...Object.fromEntries(set.filter(([, value]) => value)), ...(input === null ? {} : { input }) };
}

/** What differs from one that is created with times alone, as name and text. */
export function settings(schedule: Schedule): [string, string][] {
  const found: [string, string][] = [["while a run goes on", `a tick ${OVERLAPS[schedule.overlap] ?? schedule.overlap}`]];
  if (schedule.jitter_ms) found.push(["jitter", `up to ${span(schedule.jitter_ms)} later`]);
  found.push(["missed ticks", typeof schedule.catch_up_ms === "number" ? `each comes that is not older than ${span(schedule.catch_up_ms)}` : "one run makes up for all"]);
  const numbers = [["started", schedule.started], ["skipped", schedule.skipped], ["missed", schedule.missed]] as const;
  found.push(["ticks so far", numbers.filter(([name, value]) => value > 0 || name === "started").map(([name, value]) => `${count(value)} ${name}`).join(", ")]);
  return found;
}

/** The number of runs that ticks would start, such as `31 runs`; `more than 1,000 runs` where there are further ones. */
export function runsOf(ticks: number, more: boolean): string {
  return `${more ? "more than " : ""}${count(ticks)} ${ticks === 1 && !more ? "run" : "runs"}`;
}

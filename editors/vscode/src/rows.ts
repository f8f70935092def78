// From what the API answers to the rows of the tree.

import type { FunctionRecord, Listed, RunRecord } from "./rest";

export interface Row {
  kind: "function" | "run" | "more" | "failure";
  /** Of a function or run its id; of `more` the function whose runs it continues, empty for the functions. */
  id: string;
  label: string;
  description: string;
  tooltip: string;
  /** A codicon, and the id of its theme colour or empty. */
  icon: string;
  colour: string;
}

const ICONS: Record<string, [icon: string, colour: string]> = {
  cancelled: ["circle-slash", "disabledForeground"],
  completed: ["pass", "testing.iconPassed"],
  failed: ["error", "testing.iconFailed"],
  paused: ["debug-pause", "charts.yellow"],
  pending: ["circle-outline", "charts.blue"],
  running: ["sync", "charts.blue"],
  waiting: ["watch", "charts.yellow"],
};
const ENDED = new Set(["cancelled", "completed", "failed"]);
const UNITS: [ms: number, name: string][] = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "m"], [1_000, "s"]];

/** max: the most that can be listed. now: in milliseconds. */
export function functionRows(listed: Listed<FunctionRecord>, max: number): Row[] {
  const rows = listed.items.map(functionRow).sort((one, other) => (one.label < other.label ? -1 : 1));
  return [...rows, ...moreRow("", listed, max)];
}

export function runRows(functionId: string, listed: Listed<RunRecord>, max: number, now: number): Row[] {
  return [...listed.items.map((run) => runRow(run, now)), ...moreRow(functionId, listed, max)];
}

export function failureRow(message: string): Row {
  return { kind: "failure", id: "", label: message, description: "", tooltip: message, icon: "warning", colour: "" };
}

export function isUnderWay(run: Pick<RunRecord, "status">): boolean {
  return !ENDED.has(run.status);
}

/** The time since a moment, in its largest unit: `3m`. Clocks may differ, so what is to come is 0s. */
export function age(at: string, now: number): string {
  return shown(Math.max(0, now - Date.parse(at)));
}

export function runRow(run: RunRecord, now: number): Row {
  const [icon, colour] = ICONS[run.status] ?? ["question", ""];
  const reason = run.pause_reason ? ` (${run.pause_reason})` : "";
  const taken = run.started_at && run.ended_at ? `, took ${duration(Date.parse(run.ended_at) - Date.parse(run.started_at))}` : "";
  const lines = [run.id, `${run.status}${reason}${taken}`, `created ${run.created_at}`, run.error?.message ?? ""];
  return {
    kind: "run", id: run.id, label: run.id, icon, colour,
    description: `${run.status}${reason}, ${age(run.created_at, now)} ago`,
    tooltip: lines.filter(Boolean).join("\n"),
  };
}

function functionRow(each: FunctionRecord): Row {
  // The wire has the name of the protocol's enum.
  const status = each.status.replace(/^FUNCTION_STATUS_/, "").toLowerCase();
  const notes = [each.name === each.id ? "" : each.name, status === "active" ? "" : status];
  const recorded = each.recording ? "Its runs are recorded." : "Its runs are not recorded, so they cannot be debugged.";
  return {
    kind: "function", id: each.id, label: each.id, icon: "symbol-function", colour: "",
    description: notes.filter(Boolean).join(", "), tooltip: `${each.id}\n${recorded}`,
  };
}

function moreRow(id: string, { items, total }: Listed<unknown>, max: number): Row[] {
  if (items.length >= total) return [];
  const label = items.length < max ? "Show more" : "The dashboard shows the rest";
  return [{ kind: "more", id, label, description: `${items.length} of ${total}`, tooltip: "", icon: "ellipsis", colour: "" }];
}

function duration(ms: number): string {
  return ms < 1_000 ? `${ms} ms` : shown(ms);
}

function shown(ms: number): string {
  const [unit, name] = UNITS.find(([each]) => ms >= each) ?? [1_000, "s"];
  return `${Math.floor(ms / unit)}${name}`;
}

// The run page: from a run, its steps and its history to rows, bars and previews. Pure.

import type { Schemas } from "../../api/client";
import { span } from "../../format";
import { branchOf, isWithin } from "./branches";
import type { Stretch } from "./scale";

export type Run = Schemas["Run"];
export type Step = Schemas["Step"];
export type RunState = Schemas["RunState"];
export type TimelineEvent = Schemas["TimelineEvent"];

export interface Bar extends Stretch {
  kind: "body" | "queue" | "wait" | "failed";
  open: boolean;
}
export interface Row {
  /** The step's SDK id; empty for the row of the run itself. */
  stepId: string;
  name: string;
  type: string;
  status: string;
  /** Steps that ran at the same time share a bracket. */
  bracket: "" | "first" | "middle" | "last";
  bars: Bar[];
  /** Moments at which attempts failed. */
  failures: number[];
  note: string;
  childRunId: string | undefined;
  edited: boolean;
}

const RESTING = new Set(["sleep", "wait_for_event", "invoke_function"]);

const ms = (at: string | null | undefined): number | undefined => (at ? Date.parse(at) : undefined);

/** The rows of the timeline in the order of steps. now: where bars end that are still growing. */
export function rows(run: Run, steps: Step[], history: TimelineEvent[], now: number): Row[] {
  const failures = new Map<string, number[]>();
  for (const event of history) {
    if (event.event_type !== "step.failed" || !event.step_id) continue;
    failures.set(event.step_id, [...(failures.get(event.step_id) ?? []), Date.parse(event.timestamp)]);
  }
  const made = steps.map((step) => stepRow(step, failures.get(step.step_id) ?? [], now));
  brackets(made);
  return [runRow(run, now), ...made];
}

function runRow(run: Run, now: number): Row {
  const created = Date.parse(run.created_at);
  const started = ms(run.started_at);
  const ended = ms(run.ended_at);
  const bars: Bar[] = [{ kind: "queue", from: created, to: started ?? ended ?? now, open: !started && !ended }];
  const note = started ? `queued for ${span(started - created)}` : "waits for a worker";
  return { stepId: "", name: "queued", type: "run", status: started ? "completed" : "queued", bracket: "", bars, failures: [], note, childRunId: undefined, edited: false };
}

function stepRow(step: Step, failures: number[], now: number): Row {
  const rests = RESTING.has(step.step_type);
  const from = ms(step.started_at) ?? ms(step.created_at) ?? now;
  const done = ms(step.ended_at);
  const open = done === undefined && ["running", "sleeping", "waiting", "pending"].includes(step.status);
  const to = done ?? (open ? now : from);
  const bad = step.status === "failed" || step.status === "timed_out";
  const bars: Bar[] = [{ kind: rests ? "wait" : bad ? "failed" : "body", from, to: Math.max(from, to), open }];
  return {
    stepId: step.step_id,
    name: step.name || step.step_id,
    type: step.step_type,
    status: step.status,
    bracket: "",
    bars,
    failures: failures.filter((at) => at < to),
    note: note(step, failures.length, to - from),
    childRunId: step.child_run_id ?? undefined,
    edited: Boolean(step.patched_at),
  };
}

function note(step: Step, failed: number, took: number): string {
  const attempts = Math.max(step.attempt ?? 1, failed);
  if (step.status === "failed" || step.status === "timed_out") return attempts > 1 ? `${attempts} attempts` : (step.error?.message ?? "failed");
  if (step.status === "waiting") return `waits for ${step.wait_event_name?.replace(/^\$message\./, "message ") ?? (step.child_run_id ? "its child run" : "an event")}`;
  if (step.status === "sleeping") return "sleeps";
  return attempts > 1 ? `${span(took)}, ${attempts} attempts` : span(took);
}

/** Marks stretches of rows whose bars overlap: they ran as branches. */
function brackets(all: Row[]): void {
  let first = 0;
  let end = -Infinity;
  const close = (last: number): void => {
    for (let index = first; last > first && index <= last; index += 1) all[index]!.bracket = index === first ? "first" : index === last ? "last" : "middle";
  };
  all.forEach((row, index) => {
    const bar = row.bars[0]!;
    // Bars are in whole milliseconds: a step may begin in the one in which the step before it ended.
    if (bar.from >= end - 1) {
      if (index > 0) close(index - 1);
      [first, end] = [index, -Infinity];
    }
    end = Math.max(end, bar.to);
  });
  if (all.length > 0) close(all.length - 1);
}

/** What must stay to scale: bodies, queueing and the edges of waits. */
export function busy(all: Row[]): Stretch[] {
  return all.flatMap((row) => row.bars.filter((bar) => bar.kind !== "wait"));
}

/** From the run's start to its end, or to now while it goes on. */
export function whole(run: Run, now: number): Stretch {
  const from = Date.parse(run.created_at);
  return { from, to: Math.max(from + 1, ms(run.ended_at) ?? now) };
}

/** The moments that the playhead stops at, in order, each once. */
export function moments(run: Run, steps: Step[], history: TimelineEvent[]): number[] {
  const all = history.length > 0
    ? history.map((event) => Date.parse(event.timestamp))
    : steps.flatMap((step) => [ms(step.started_at), ms(step.ended_at)]).filter((at) => at !== undefined);
  const ended = ms(run.ended_at);
  return [...new Set([Date.parse(run.created_at), ...all, ...(ended ? [ended] : [])])].sort((a, b) => a - b);
}

/** The rows that are shown. only: `failed` keeps rows that failed; find: text in the name; branch: only its steps. */
export function shown(all: Row[], only: string, find: string, branch = "", runId = ""): Row[] {
  const text = find.toLowerCase();
  return all.filter((row) => {
    if (branch && row.stepId && !isWithin(branchOf(row.stepId, runId), branch)) return false;
    if (only === "failed" && row.stepId && row.status !== "failed" && row.status !== "timed_out" && row.failures.length === 0) return false;
    return !text || row.name.toLowerCase().includes(text);
  });
}

/** The first line of code of the user in a stack, such as `app.py:42`; undefined without one. */
export function codeLocation(stack: string | null | undefined): string | undefined {
  if (!stack) return undefined;
  const frames = [...stack.matchAll(/File "([^"]+)", line (\d+)/g)].filter((frame) => !/site-packages|[\\/]ironflow[\\/]|[\\/]lib[\\/]python/.test(frame[1]!));
  const last = frames.at(-1);
  if (last) return `${last[1]!.split(/[\\/]/).at(-1)}:${last[2]}`;
  const js = /\(?([^\s()]+\.[cm]?[jt]sx?):(\d+):\d+\)?/.exec(stack);
  return js ? `${js[1]!.split(/[\\/]/).at(-1)}:${js[2]}` : undefined;
}

/** What an error is called: its class, which says more than a code such as `STEP_FAILED` that many classes share. */
export function errorTitle(error: Schemas["WireError"]): string {
  const name = error.error_class?.split(".").at(-1) || error.code;
  return name ? `${name}: ${error.message}` : error.message;
}

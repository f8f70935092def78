// What the panel shows of a step, or of the whole run, now or at an instant. Pure.

import type { Schemas } from "../../api/client";
import { stateOf } from "../../parts/status";
import type { Run, RunState, Step, TimelineEvent } from "./model";

export interface Detail {
  name: string;
  status: string;
  found: boolean;
  input: unknown;
  output: unknown;
  /** The output before it was injected or patched; undefined when it never was. */
  original: unknown;
  error: Schemas["WireError"] | undefined;
  attempt: number;
  attempts: TimelineEvent[];
  history: TimelineEvent[];
  /** When the history begins. */
  from: number;
  tabs: { name: string; title: string }[];
  /** The tab that answers first: the error of what failed, else the output. */
  best: string;
}

const given = (value: unknown): unknown => value ?? undefined;

/** stepId: undefined for the whole run. past: the state at the playhead; undefined for now. */
export function detail(steps: Step[], history: TimelineEvent[], past: RunState | undefined, stepId: string | undefined, run: Run | undefined): Detail {
  const seen = past ? history.filter((event) => Date.parse(event.timestamp) <= Date.parse(past.timestamp)) : history;
  const own = stepId ? seen.filter((event) => event.step_id === stepId) : seen;
  const from = history[0] ? Date.parse(history[0].timestamp) : 0;
  const common = { history: own, from, attempts: own.filter((event) => event.event_type.startsWith("step.")) };
  const now = steps.find((step) => step.step_id === stepId);
  const then = past?.steps.find((step) => step.step_id === stepId);
  const whole = past ?? run;
  let about: Omit<Detail, "tabs" | "best" | keyof typeof common>;
  if (!stepId) {
    about = {
      name: "The whole run", status: whole ? stateOf(whole) : "", found: Boolean(whole), input: given(whole?.input), output: given(whole?.output), original: undefined,
      error: whole?.error ?? undefined, attempt: whole?.attempt ?? 1,
    };
  } else if (past) {
    about = {
      name: then?.name ?? now?.name ?? stepId, status: then?.status ?? "queued", found: Boolean(then), input: given(now?.input), output: given(then?.output),
      original: given(then?.original_output), error: then?.error ?? undefined, attempt: then?.attempt ?? 1,
    };
  } else {
    about = {
      name: now?.name || stepId, status: now?.status ?? "queued", found: Boolean(now), input: given(now?.input), output: given(now?.output),
      original: given(now?.original_output), error: now?.error ?? undefined, attempt: now?.attempt ?? 1,
    };
  }
  const tabs = [
    { name: "input", title: "Input" }, { name: "output", title: "Output" }, { name: "error", title: "Error" },
    ...(stepId ? [{ name: "attempts", title: "Attempts" }] : []), { name: "history", title: "History" },
  ];
  return { ...about, ...common, tabs, best: about.error ? "error" : about.output === undefined ? "input" : "output" };
}

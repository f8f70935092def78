// Two runs side by side: which steps belong together, and what differs. Pure.

import { difference, type Change } from "../../parts/difference";
import { stateOf } from "../../parts/status";
import { errorTitle, type Run, type Step } from "../run/model";

export type RunName = "a" | "b";

export interface Pair {
  /** The step's id without its run's; unique. */
  id: string;
  name: string;
  a: Step | undefined;
  b: Step | undefined;
  /** In input, output and error. */
  changes: Change[];
  /** How much longer it took in b, in milliseconds; undefined where one of them has not ended. */
  longer: number | undefined;
  isDifferent: boolean;
}

/** What a step is called in every run: its id without the run's own. Ids of another shape: its name and its number. */
function keys(run: Run, steps: Step[]): Map<string, Step> {
  const found = new Map<string, Step>();
  const counts = new Map<string, number>();
  for (const step of steps) {
    const count = counts.get(step.name) ?? 0;
    counts.set(step.name, count + 1);
    found.set(step.step_id.startsWith(`${run.id}:`) ? step.step_id.slice(run.id.length + 1) : `${step.name}:${count}`, step);
  }
  return found;
}

export const took = (step: Step | undefined): number | undefined =>
  step?.started_at && step.ended_at ? Math.max(0, Date.parse(step.ended_at) - Date.parse(step.started_at)) : undefined;

/** The parts of a step that are compared. A stack has addresses and lines of its own in every process. */
const content = (of: Step | Run | undefined) => ({
  input: of?.input ?? undefined,
  output: of?.output ?? undefined,
  error: of?.error ? errorTitle(of.error) : undefined,
});

/** The steps of both runs in the order of a; one that only b has comes after the step that it follows there. */
export function pairs(a: Run, stepsA: Step[], b: Run, stepsB: Step[]): Pair[] {
  const [left, right] = [keys(a, stepsA), keys(b, stepsB)];
  const order: string[] = [];
  const ahead: string[] = [];
  const following = new Map<string, string[]>();
  let last: string[] = ahead;
  for (const id of right.keys()) {
    if (left.has(id)) following.set(id, (last = []));
    else last.push(id);
  }
  order.push(...ahead);
  for (const id of left.keys()) order.push(id, ...(following.get(id) ?? []));
  return order.map((id) => pair(id, left.get(id), right.get(id)));
}

function pair(id: string, a: Step | undefined, b: Step | undefined): Pair {
  const changes = a && b ? difference(content(a), content(b)) : [];
  const [first, second] = [took(a), took(b)];
  return {
    id, a, b, changes,
    name: (a ?? b)!.name || id,
    longer: first === undefined || second === undefined ? undefined : second - first,
    isDifferent: !a || !b || a.status !== b.status || changes.length > 0,
  };
}

export interface Fact {
  name: string;
  a: string;
  b: string;
}

/** What is shown of each run beside its state, and what differs in input, output and error. */
export function whole(a: Run, b: Run): { facts: Fact[]; changes: Change[] } {
  const fact = (name: string, of: (run: Run) => string): Fact => ({ name, a: of(a), b: of(b) });
  return {
    facts: [
      fact("Function", (run) => run.function_id),
      fact("Version", (run) => String(run.function_version)),
      fact("Attempt", (run) => `${run.attempt} of ${run.max_attempts}`),
      fact("Event", (run) => run.event_name ?? run.event_id),
      fact("Error", (run) => (run.error ? errorTitle(run.error) : "–")),
    ],
    changes: difference(content(a), content(b)),
  };
}

/** How long a run took, or has taken until now. */
export function duration(run: Run, now: number): number {
  return Math.max(0, (run.ended_at ? Date.parse(run.ended_at) : now) - Date.parse(run.started_at ?? run.created_at));
}

/** The result as a sentence, which a screen reader announces. */
export function summary(a: Run, b: Run, all: Pair[]): string {
  const different = all.filter((each) => each.isDifferent).length;
  const [onlyA, onlyB] = [all.filter((each) => !each.b).length, all.filter((each) => !each.a).length];
  const states = stateOf(a) === stateOf(b) ? `Both are ${stateOf(a)}` : `A is ${stateOf(a)}, B is ${stateOf(b)}`;
  const count = (number: number) => (number === 1 ? "1 step" : `${number} steps`);
  const alone = [onlyA ? `${count(onlyA)} only in A` : "", onlyB ? `${count(onlyB)} only in B` : ""].filter(Boolean).join(", ");
  return `${states}. ${different === 0 ? "No step differs" : `${different} of ${count(all.length)} ${different === 1 ? "differs" : "differ"}`}${alone ? `; ${alone}` : ""}.`;
}

/** The address that compares two runs, the older one first. */
export function compareAddress(ids: string[]): string {
  const [a, b] = [...ids].sort();
  return `/runs/compare?a=${encodeURIComponent(a ?? "")}${b ? `&b=${encodeURIComponent(b)}` : ""}`;
}

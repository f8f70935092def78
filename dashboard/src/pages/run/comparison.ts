// What changed in a run between two of its states. Pure.

import { difference, type Change } from "../../parts/difference";
import type { RunState } from "./model";

export interface Changed {
  /** A step's name, or `the run`. */
  name: string;
  /** Its status then; empty when it had not begun. */
  before: string;
  after: string;
  changes: Change[];
}

/** The run first, then its steps in order; what is the same is left out. */
export function changed(before: RunState, after: RunState): Changed[] {
  const found: Changed[] = [];
  const add = (name: string, left: { status: string; output?: unknown; error?: unknown } | undefined, right: { status: string; output?: unknown; error?: unknown } | undefined): void => {
    const changes = difference({ output: left?.output ?? undefined, error: left?.error ?? undefined }, { output: right?.output ?? undefined, error: right?.error ?? undefined });
    if (left?.status !== right?.status || changes.length > 0) found.push({ name, before: left?.status ?? "", after: right?.status ?? "", changes });
  };
  add("the run", { status: before.state, output: before.output, error: before.error }, { status: after.state, output: after.output, error: after.error });
  const left = new Map(before.steps.map((step) => [step.step_id, step]));
  const right = new Map(after.steps.map((step) => [step.step_id, step]));
  for (const id of new Set([...left.keys(), ...right.keys()])) add((right.get(id) ?? left.get(id))!.name, left.get(id), right.get(id));
  return found;
}

// What the run page loads: the run, its steps by pages of 500, why it is where it is, its history, its state at an instant.

import { ask, Failure } from "../../api/client";
import { shortForm } from "../../api/spelling";
import { gathered, live } from "../../live/socket.svelte";
import { Resource } from "../../live/resource.svelte";
import type { Run, RunState, Step, TimelineEvent } from "./model";

const PAGE = 500;

export interface Loaded {
  run: Run;
  steps: Step[];
  why: string;
  /** Empty for a run that is not recorded. */
  history: TimelineEvent[];
  recorded: boolean;
  /** More steps are still to come. */
  partial: boolean;
}

/** All steps of a run, page by page; `shown` is called with what there is each time it has doubled. */
export async function allSteps(id: string, signal: AbortSignal, shown: (steps: Step[]) => void): Promise<Step[]> {
  const steps: Step[] = [];
  let cursor: string | undefined;
  // Rows are made anew from all steps: after each page, 10,000 of them would be made ten times over.
  let next = PAGE;
  do {
    const page = await ask("get", "/api/v1/runs/{id}/steps", { path: { id, run_id: id }, query: { limit: PAGE, cursor }, signal });
    steps.push(...page.steps.map((step) => ({ ...step, status: shortForm(step.status), step_type: shortForm(step.step_type) })));
    cursor = page.next_cursor ?? undefined;
    if (cursor && steps.length >= next) {
      shown([...steps]);
      next = steps.length * 2;
    }
  } while (cursor);
  return steps;
}

async function historyOf(id: string, signal: AbortSignal): Promise<TimelineEvent[] | undefined> {
  try {
    return (await ask("get", "/api/v1/runs/{run_id}/timeline", { path: { run_id: id }, query: { limit: 10_000 }, signal })).events;
  } catch (error) {
    // Without a recording there is no history; the steps are shown all the same.
    if (error instanceof Failure && error.status >= 400 && error.status < 500) return undefined;
    throw error;
  }
}

export class RunData {
  readonly resource: Resource<Loaded>;

  constructor(readonly id: string) {
    this.resource = new Resource((signal) => this.load(signal));
  }

  private async load(signal: AbortSignal): Promise<Loaded> {
    const [run, why, history] = await Promise.all([
      ask("get", "/api/v1/runs/{id}", { path: { id: this.id }, signal }),
      ask("get", "/api/v1/runs/{id}/why", { path: { id: this.id }, signal }),
      historyOf(this.id, signal),
    ]);
    const made = (steps: Step[], partial: boolean): Loaded => ({ run, steps, why: why.message, history: history ?? [], recorded: history !== undefined, partial });
    const first = this.resource.value === undefined;
    const steps = await allSteps(this.id, signal, (some) => {
      if (first) this.resource.value = made(some, true);
    });
    return made(steps, false);
  }

  /** Loads, and again whenever the run changes; stops when the returned function is called. */
  follow(): () => void {
    void this.resource.refresh();
    const again = gathered(() => this.resource.refresh(), 300);
    const stop = live.listen(`system.run.${this.id}.>`, again);
    return () => {
      stop();
      this.resource.close();
    };
  }
}

/** The run as it was at a moment. Raises Failure when it was not recorded. */
export function stateAt(id: string, at: number, signal: AbortSignal): Promise<RunState> {
  return ask("get", "/api/v1/runs/{run_id}/state", { path: { run_id: id }, query: { timestamp: new Date(at).toISOString() }, signal });
}

/** The runs that steps of this one started, by step id. */
export async function childrenOf(id: string): Promise<Run[]> {
  return (await ask("get", "/api/v1/runs", { query: { parent_run_id: id, limit: 100, count: false } })).runs;
}

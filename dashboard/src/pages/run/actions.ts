// What can be done with a run, what it will do, and the same as a command. Pure.

import { jsonFault } from "../../parts/jsonText";
import type { Run, Step } from "./model";

export type Action = "pause" | "resume" | "retry" | "cancel" | "force" | "inject" | "patch";

export interface Draft {
  /** The step to begin again from, or whose output is replaced: its SDK id. */
  step: string;
  reason: string;
  /** JSON, as typed. */
  output: string;
}
export interface Preview {
  /** Steps whose recorded results stay. */
  kept: Step[];
  /** Steps that run again. */
  again: Step[];
  sentence: string;
}
export interface Request {
  verb: "post";
  path: string;
  body: Record<string, unknown>;
  python: string;
  cli: string;
}

const ENDED = new Set(["completed", "failed", "cancelled"]);
const TITLES: Record<Action, string> = { pause: "Pause", resume: "Resume", retry: "Retry", cancel: "Cancel", force: "End now", inject: "Inject output", patch: "Patch output" };
/** Actions after which a run never goes on: its name is asked for. */
export const FINAL: ReadonlySet<Action> = new Set(["cancel", "force"]);

export function title(action: Action): string {
  return TITLES[action];
}

/** The actions that the server accepts for a run in this state, the likeliest first. */
export function possible(run: Run): Action[] {
  const state = run.state ?? run.status;
  if (state === "cancelling") return ["force"];
  if (state === "failed") return ["resume", "retry", "patch"];
  if (run.status === "completed" || run.status === "cancelled") return [];
  if (state.startsWith("paused")) return ["resume", "inject", "patch", "cancel"];
  return ENDED.has(state) ? [] : state.startsWith("running") ? ["pause", "cancel"] : ["pause", "cancel", "patch"];
}

/** Steps that have an output to replace. */
export function replaceable(steps: Step[]): Step[] {
  return steps.filter((step) => step.status === "completed" || step.status === "failed");
}

/** What an action will do. Source: docs/guides/run-controls.md. */
export function preview(action: Action, steps: Step[], step: string): Preview {
  const chosen = steps.find((each) => each.step_id === step);
  const done = steps.filter((each) => each.status === "completed");
  const unfinished = steps.filter((each) => each.status === "failed" || each.status === "timed_out");
  switch (action) {
    case "pause":
      return { kept: done, again: [], sentence: "The run stops at its next step boundary. Nothing is lost." };
    case "cancel":
      return { kept: done, again: [], sentence: "The run ends as cancelled and cannot be resumed: at once, or after its compensations where its function says so. Its steps stay in the history." };
    case "force":
      return { kept: done, again: [], sentence: "The run ends as cancelled at once. Compensations that have not run are left out." };
    case "inject":
    case "patch":
      return { kept: done, again: [], sentence: chosen ? `The output of ${chosen.name} is replaced; the original is kept beside it. The run goes on with it when you resume.` : "Choose a step." };
    case "retry":
      if (!chosen) return { kept: [], again: steps, sentence: "The whole run starts again with a fresh attempt budget: every step runs again." };
      break;
    case "resume":
      if (!chosen) return { kept: done, again: unfinished, sentence: "The run goes on with its recorded results." };
  }
  return {
    kept: done.filter((each) => each.sequence < chosen.sequence),
    again: steps.filter((each) => each.sequence >= chosen.sequence),
    sentence: `The results of ${chosen.name} and of all later steps are dropped, and they run again.`,
  };
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The request of an action, and the same in Python and on the command line. steps: to find row ids. */
export function request(action: Action, run: Run, steps: Step[], draft: Draft): Request {
  const id = encodeURIComponent(run.id);
  const row = steps.find((each) => each.step_id === draft.step)?.id ?? draft.step;
  const from = draft.step ? { from_step: draft.step } : {};
  const python = (call: string): string => `await client.runs.${call}`;
  const text = (value: string): string => JSON.stringify(value);
  const fromPython = draft.step ? `, from_step=${text(draft.step)}` : "";
  const fromCli = draft.step ? ` --from-step ${quoted(draft.step)}` : "";
  const given = draft.reason ? { reason: draft.reason } : {};
  const because = draft.reason ? ` --reason ${quoted(draft.reason)}` : "";
  const becausePython = draft.reason ? `, reason=${text(draft.reason)}` : "";
  switch (action) {
    case "pause":
      return { verb: "post", path: `/api/v1/runs/${id}/pause`, body: given, python: python(`pause(${text(run.id)}${becausePython})`), cli: `ironflow run pause ${run.id}${because}` };
    case "resume":
      return { verb: "post", path: `/api/v1/runs/${id}/resume`, body: { ...from, ...given }, python: python(`resume(${text(run.id)}${fromPython}${becausePython})`), cli: `ironflow run resume ${run.id}${fromCli}${because}` };
    case "retry":
      return { verb: "post", path: `/api/v1/runs/${id}/retry`, body: { ...from, ...given }, python: python(`retry(${text(run.id)}${fromPython}${becausePython})`), cli: `ironflow run retry ${run.id}${fromCli}${because}` };
    case "cancel":
      return { verb: "post", path: `/api/v1/runs/${id}/cancel`, body: { reason: draft.reason }, python: python(`cancel(${text(run.id)}${becausePython})`), cli: `ironflow run cancel ${run.id}${because}` };
    case "force":
      return { verb: "post", path: `/api/v1/runs/${id}/cancel`, body: { reason: draft.reason, force: true }, python: python(`cancel(${text(run.id)}${becausePython}, force=True)`), cli: `ironflow run cancel ${run.id} --force${because}` };
    case "inject":
      return {
        verb: "post", path: `/api/v1/runs/${id}/inject`,
        // A text would be read as JSON once more, so the output is sent as the text of its JSON.
        body: { run_id: run.id, step_id: row, new_output: draft.output, reason: draft.reason },
        python: python(`inject(${text(run.id)}, ${text(row)}, json.loads(${text(draft.output)})${becausePython})`),
        cli: `ironflow run inject ${run.id} ${row} --output ${quoted(draft.output)}${because}`,
      };
    case "patch":
      return {
        verb: "post", path: "/api/v1/steps/patch",
        body: { step_id: row, output: JSON.parse(draft.output || "null"), reason: draft.reason },
        python: python(`patch_step(${text(row)}, json.loads(${text(draft.output)})${becausePython})`),
        cli: `ironflow run patch ${row} --output ${quoted(draft.output)}${because}`,
      };
  }
}

/** Why a draft cannot be sent yet; empty when it can. */
export function fault(action: Action, draft: Draft): string {
  if (action !== "inject" && action !== "patch") return "";
  if (!draft.step) return "Choose a step.";
  return draft.output.trim() ? jsonFault(draft.output, "output") : "An output is JSON, such as null.";
}

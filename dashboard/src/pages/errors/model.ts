// The errors page: groups of failures, and the one action for all of a group. Pure.

import type { Schemas } from "../../api/client";
import { exact, visible } from "../../format";
import type { Series } from "../../parts/series";
import type { Wanted } from "../runs/bulk";

export type Group = Schemas["FailureGroup"];

export interface Shown {
  group: Group;
  /** It was first seen in the newest version of its function. */
  isNew: boolean;
  muted: boolean;
}

/** The groups to show. newest: version by function; muted: count by group id at which it was muted: more shows it again. */
export function groups(all: Group[], newest: ReadonlyMap<string, number>, muted: Record<string, number>, onlyNew: boolean): Shown[] {
  return all
    .map((group) => ({
      group,
      isNew: group.versions.length === 1 && group.versions[0] === newest.get(group.function_id),
      muted: group.count <= (muted[group.id] ?? -1),
    }))
    .filter((each) => !each.muted && (!onlyNew || each.isNew));
}

/** The group as the text of an issue. origin: the server's address. */
export function issueText(group: Group, origin: string): string {
  return [
    `## ${group.error_class}: ${group.pattern}`, "",
    `${group.count} failed runs of \`${group.function_id}\`, step \`${group.step || "–"}\`, versions ${group.versions.join(", ")}.`,
    `First seen ${group.first_at}, last ${group.last_at}.`, "", "```", group.latest_message, "```", "", `${origin}/runs/${group.latest_run_id}`,
  ].join("\n");
}

/** Whether the pattern distinguishes messages. One that is nothing but … stands for any message. */
const isSpecific = (group: Group): boolean => /[^…\s]/.test(group.pattern);

export type GroupAction = "resume" | "retry" | "cancel";

/** Whether runs that are to be tried again after this error can be distinguished from all others that wait. */
export const canCancel = (group: Group): boolean => isSpecific(group) || group.step !== "";

/**
 * The bulk request for what failed for this reason: failed runs of the function with this message, at this step. A cancel
 * is of those whose next attempt is still to come: a failed run has ended.
 */
export function bulk(group: Group, action: GroupAction, since: string): Wanted {
  return {
    action, function_id: group.function_id, statuses: [action === "cancel" ? "pending" : "failed"],
    ...(isSpecific(group) ? { error: group.pattern } : {}), ...(group.step ? { failed_step: group.step } : {}), since,
  };
}

/** Which runs that request reaches, for the dialog. */
export function which(group: Group, action: GroupAction): string {
  const runs = `${action === "cancel" ? "" : "failed "}runs of ${visible(group.function_id)}`;
  const at = group.step ? ` at step ${visible(group.step)}` : "";
  if (action === "cancel") return `${runs} that wait for their next attempt after this error${at}`;
  if (isSpecific(group)) return `${runs} with this message${at}`;
  return at ? `all ${runs}${at} in this time` : `all ${runs} in this time, also those that failed for another reason`;
}

/** The filter line of the list of runs for the same. Double quotes end a value there; … stands for anything. */
export function filterOf(group: Group): string {
  return `status:failed function:${group.function_id}${group.pattern ? ` error:"${group.pattern.replaceAll('"', "…")}"` : ""}${group.step ? ` step:"${group.step.replaceAll('"', "")}"` : ""}`;
}

/** All groups that are shown, over time. */
export function chart(shown: Shown[], since: string, until: string): { times: number[]; series: Series[] } {
  const slices = shown[0]?.group.counts.length ?? 0;
  const [from, to] = [Date.parse(since), Date.parse(until)];
  return {
    times: Array.from({ length: slices }, (_, index) => Math.round(from + ((to - from) * index) / slices)),
    series: [{ name: "failed", colour: "bad", values: Array.from({ length: slices }, (_, index) => shown.reduce((sum, each) => sum + (each.group.counts[index] ?? 0), 0)) }],
  };
}

export function bars(group: Group, since: string, until: string, zone: "utc" | "local") {
  const [from, to] = [Date.parse(since), Date.parse(until)];
  return group.counts.map((value, index) => ({
    title: `${exact(from + ((to - from) * index) / group.counts.length, zone)}: ${value}`,
    parts: [{ value, colour: "bad" as const }],
  }));
}

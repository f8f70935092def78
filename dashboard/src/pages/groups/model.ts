// Consumer groups: where each stands, and which dead letters an action takes. Pure.

import type { Schemas } from "../../api/client";
import { count, span } from "../../format";

export type Group = Schemas["ConsumerGroup"];
export type DeadLetter = Schemas["DeadLetter"];

/** The short form of `CONSUMER_GROUP_STATUS_ACTIVE`, `ACK_MODE_MANUAL` or `BACKPRESSURE_MODE_BUFFER`. */
export function plain(value: string | null | undefined): string {
  return (value ?? "").replace(/^(?:CONSUMER_GROUP_STATUS|ACK_MODE|BACKPRESSURE_MODE)_/, "").toLowerCase();
}

/** What is worth a look, as a sentence; empty when all is well. */
export function trouble(group: Group): string {
  const found: string[] = [];
  if (plain(group.status) === "paused") found.push("paused: nothing is handed out");
  if ((group.lag ?? 0) > 0 && (group.member_count ?? 0) === 0) found.push(`${count(group.lag ?? 0)} behind and no member`);
  else if ((group.lag ?? 0) > 0) found.push(`${count(group.lag ?? 0)} behind`);
  if ((group.dead_letters ?? 0) > 0) found.push(`${count(group.dead_letters ?? 0)} dead letters`);
  if ((group.dropped ?? 0) > 0) found.push(`${count(group.dropped ?? 0)} dropped`);
  return found.join(", ");
}

/** The settings of a group as names and texts. */
export function settingsOf(group: Group): { name: string; text: string }[] {
  return [
    { name: "Pattern", text: group.pattern ?? "" },
    { name: "Filter", text: group.filter_expr ?? "" },
    { name: "Acknowledged", text: plain(group.ack_mode) === "manual" ? `by members, within ${span(group.ack_wait_ms ?? 0)}` : "when it is written to the connection" },
    { name: "When members are slow", text: { buffer: "waits in order", block: "stops reading", drop: "drops the newest" }[plain(group.backpressure)] ?? "" },
    { name: "In flight at most", text: count(group.max_inflight ?? 0) },
    { name: "Redelivered", text: `${group.max_redeliveries ?? 0} times, ${span(group.redeliver_delay_ms ?? 0)} apart` },
  ];
}

/** The body of a replay or purge: the chosen dead letters, or all. */
export function choice(chosen: ReadonlySet<string>): { event_ids?: string[]; all?: boolean } {
  return chosen.size > 0 ? { event_ids: [...chosen] } : { all: true };
}

// Functions: what starts them and what limits them, as sentences. Pure.

import type { Schemas } from "../../api/client";
import { count, span } from "../../format";

export type Fn = Schemas["Function"];
type Worker = Schemas["Worker"];

/** What starts a function, such as `order.placed`, `every cron 0 * * * * (UTC)`. */
export function triggers(fn: Fn): string[] {
  return fn.triggers.map((trigger) => (trigger.cron ? `cron ${trigger.cron}${trigger.timezone ? ` (${trigger.timezone})` : ""}` : trigger.event + (trigger.expression ? ` when ${trigger.expression}` : "")));
}

/** Limits that are set, as name and text; what is the server's default is left out. */
export function limits(fn: Fn): [string, string][] {
  const found: [string, string][] = [];
  const by = (key: string | undefined) => (key ? ` by ${key}` : "");
  if (fn.retry?.max_attempts) found.push(["attempts", `${fn.retry.max_attempts}${fn.retry.on_exhausted ? `, then ${fn.retry.on_exhausted}` : ""}`]);
  if (fn.timeout_ms) found.push(["timeout", span(fn.timeout_ms)]);
  if (fn.concurrency?.limit) found.push(["concurrency", `${fn.concurrency.limit}${by(fn.concurrency.key)}`]);
  if (fn.throttle?.limit) found.push(["throttle", `${fn.throttle.limit} each ${span(fn.throttle.period_ms)}${by(fn.throttle.key)}`]);
  if (fn.debounce?.period_ms) found.push(["debounce", `${span(fn.debounce.period_ms)}${by(fn.debounce.key)}`]);
  if (fn.actor_key) found.push(["actor", fn.actor_key]);
  return found;
}

/** The workers that serve a function. */
export function servedBy(fn: string, workers: Worker[]): Worker[] {
  return workers.filter((worker) => worker.function_ids.includes(fn));
}

/** Why an address is no endpoint, as a sentence; empty when it may be one. Which are allowed, the server decides. */
export function endpointFault(endpoint: string): string {
  if (endpoint === "") return "";
  return /^https?:$/.test(URL.parse(endpoint)?.protocol ?? "") ? "" : "An endpoint is an http or https address.";
}

/** The request that registers a push function. */
export function registration(id: string, endpoint: string, event: string, attempts: number) {
  return {
    id: id.trim(), endpoint_url: endpoint.trim(), preferred_mode: "push",
    triggers: event.trim() ? [{ event: event.trim() }] : [], retry: { max_attempts: attempts },
  };
}

/** The event by which a test starts the function; undefined where only a schedule or a pattern does. */
export function testEvent(fn: Fn): string | undefined {
  return fn.triggers.map((trigger) => trigger.event).find((event) => event && !/[*>]/.test(event));
}

export type Registration = Schemas["Registration"];

/** The version that the address names, or the newest; and the one to compare it with: the next older unless named. */
export function compared(registrations: Registration[], version: string | null, other: string | null): { shown: Registration | undefined; before: Registration | undefined } {
  const shown = registrations.find((each) => String(each.version) === version) ?? registrations[0];
  const older = registrations.find((each) => each.version < (shown?.version ?? 0));
  return { shown, before: registrations.find((each) => String(each.version) === other && each !== shown) ?? older };
}

/** Who serves a version of code, and what still needs it, such as `2 workers, 3 runs under way`. */
export function workersOf(version: Schemas["CodeVersion"]): string {
  const workers = version.workers === 0 ? "no worker" : version.workers === 1 ? "1 worker" : `${count(version.workers)} workers`;
  return version.runs === 0 ? workers : `${workers}, ${count(version.runs)} ${version.runs === 1 ? "run" : "runs"} pinned to it`;
}

/** What a lane is of: the value of the key, the actor, or the limit that functions share. */
export function laneName(lane: Schemas["SlotLane"]): string {
  if (lane.kind === "actor") return `actor ${lane.key}`;
  if (lane.kind === "scope") return `shared limit ${lane.scope}${lane.key ? `, ${lane.key}` : ""}`;
  return lane.key || "all runs";
}

/** `1 of 1 held, 2 wait`. */
export function laneText(lane: Schemas["SlotLane"]): string {
  const held = lane.limit ? `${count(lane.held)} of ${count(lane.limit)} held` : `${count(lane.held)} held`;
  return lane.waiting > 0 ? `${held}, ${count(lane.waiting)} ${lane.waiting === 1 ? "waits" : "wait"}` : held;
}

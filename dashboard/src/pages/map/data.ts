// Loads what the newest runs and events show: what started what, what was emitted and published, which groups read it.

import { ask, permitted, type Refusals } from "../../api/client";
import type { Flow, Group, Kind, Seen } from "./model";

/** How many of the newest runs and events are looked at. */
export const NEWEST = 5000;

export interface Found {
  flows: Flow[];
  seen: Seen[];
  groups: Group[];
  refusals: Refusals;
}

/** Raises Failure, as for a key that may not read functions and events. */
export async function observed(signal: AbortSignal): Promise<Found> {
  const refusals: Refusals = [];
  const [found, groups] = await Promise.all([
    ask("get", "/api/v1/statistics/flows", { query: { limit: NEWEST }, signal }),
    permitted(ask("get", "/api/v1/consumer-groups", { query: { limit: 200 }, signal }), refusals),
  ]);
  return {
    flows: found.flows.map((flow) => ({
      from: { kind: flow.source_kind as Kind, name: flow.source }, to: { kind: flow.target_kind as Kind, name: flow.target }, count: flow.count, failed: flow.failed ?? 0,
    })),
    seen: found.names.map((each) => ({ ...each, kind: each.kind as Kind })),
    groups: (groups?.groups ?? []).map((group) => ({ name: group.name ?? "", namespace: group.namespace ?? "", pattern: group.pattern ?? "" })),
    refusals,
  };
}

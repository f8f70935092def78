// The overview: numbers of the server as tiles and bars. Pure.

import type { Schemas } from "../../api/client";
import { count } from "../../format";
import type { Series } from "../../parts/series";

export type Statistics = Schemas["RunStatistics"];

export interface Tile {
  title: string;
  value: string;
  href: string;
  bad: boolean;
}

/** `1,000+` where counting stopped. */
export function capped(value: number, cap: number): string {
  return value >= cap ? `${count(cap)}+` : count(value);
}

const STATES: [string, string][] = [["pending", "Queued"], ["running", "Running"], ["waiting", "Waiting"], ["paused", "Paused"]];

/** Unfinished runs by status, then what failed in the time shown. Each tile leads to the runs that it counts. */
export function tiles(found: Statistics, since: string): Tile[] {
  const failed = found.slices.reduce((sum, slice) => sum + (slice.failed ?? 0), 0);
  const all = found.slices.reduce((sum, slice) => sum + (slice.failed ?? 0) + (slice.completed ?? 0) + (slice.cancelled ?? 0) + (slice.unfinished ?? 0), 0);
  const plus = found.truncated ? "+" : "";
  return [
    ...STATES.map(([status, title]) => ({
      title, value: capped(found.unfinished[status] ?? 0, found.unfinished_cap), href: `/runs?filter=${encodeURIComponent(`status:${status}`)}`, bad: status === "paused" && (found.unfinished[status] ?? 0) > 0,
    })),
    { title: `Failed, last ${since}`, value: count(failed) + plus, href: `/errors?since=${since}`, bad: failed > 0 },
    { title: `Started, last ${since}`, value: count(all) + plus, href: `/runs?filter=${encodeURIComponent(`since:${since}`)}`, bad: false },
  ];
}

/** The chart: failed runs at the bottom, where they are seen. */
export function chart(found: Statistics): { times: number[]; series: Series[] } {
  const of = (name: "failed" | "completed" | "unfinished" | "cancelled", colour: Series["colour"]): Series => ({ name, colour, values: found.slices.map((slice) => slice[name] ?? 0) });
  return {
    times: found.slices.map((slice) => Date.parse(slice.at)),
    series: [of("failed", "bad"), of("completed", "good"), of("unfinished", "busy"), of("cancelled", "muted")],
  };
}

/** Runs started a second in the time shown, such as `3.2/s` or `14/min`. */
export function throughput(found: Statistics): string {
  const seconds = Math.max(1, (Date.parse(found.until) - Date.parse(found.since)) / 1000);
  const rate = found.scanned / seconds;
  return rate >= 1 ? `${rate.toFixed(1)}/s` : `${(rate * 60).toFixed(1)}/min`;
}

/** Groups whose numbers the overview asks for; each costs the server a look at its events. */
export const GROUPS_MAX = 20;

/** The breakers that keep an endpoint from being called, those that failed last first. */
export function openBreakers(breakers: Schemas["CircuitBreaker"][]): Schemas["CircuitBreaker"][] {
  return breakers.filter((each) => each.state !== "closed").sort((a, b) => (b.failed_at ?? "").localeCompare(a.failed_at ?? ""));
}

/** Projections, worst first: those with an error, then by lag. */
export function behind(projections: Schemas["Status"][]): { name: string; lag: number; status: string; error: string }[] {
  return projections
    .map((each) => ({ name: each.name, lag: each.lag ?? 0, status: each.status, error: each.error_message ?? "" }))
    .sort((a, b) => Number(Boolean(b.error)) - Number(Boolean(a.error)) || b.lag - a.lag);
}

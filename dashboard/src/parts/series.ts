// Numbers over time, as a chart and as a table show them. Pure.

import { count, exact } from "../format";

export interface Series {
  name: string;
  colour: "good" | "bad" | "busy" | "muted";
  /** One for each time of the chart. */
  values: number[];
}

/** Each series on top of those before it. */
export function stacked(series: Series[]): number[][] {
  let below: number[] = [];
  return series.map((each) => (below = each.values.map((value, index) => value + (below[index] ?? 0))));
}

const DAY_MS = 86_400_000;

/** A moment of an axis: the time of the day, the date where one begins or where all of them are days apart. all: of the axis. */
export function moment(at: number, all: number[], zone: "utc" | "local"): string {
  const [date, time] = exact(at, zone).split("T") as [string, string];
  return time.startsWith("00:00") || (all.length > 1 && all[1]! - all[0]! >= DAY_MS) ? date.slice(5) : time.slice(0, 5);
}

/** The chart as a sentence. */
export function summary(label: string, series: Series[]): string {
  const totals = series.map((each) => ({ name: each.name, total: each.values.reduce((sum, value) => sum + value, 0) })).filter((each) => each.total > 0);
  return `${label}: ${totals.length === 0 ? "nothing" : totals.map((each) => `${count(each.total)} ${each.name}`).join(", ")}`;
}

/** The stretches in which something happened, for a table. */
export function lines(times: number[], series: Series[]): { at: number; values: number[] }[] {
  return times.map((at, index) => ({ at, values: series.map((each) => each.values[index] ?? 0) })).filter((each) => each.values.some((value) => value > 0));
}

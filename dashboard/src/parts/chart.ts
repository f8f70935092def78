// Draws a chart over time; loaded when the first one is shown, with uPlot.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { count } from "../format";
import { moment, stacked, type Series } from "./series";

export interface Drawn {
  times: number[];
  series: Series[];
  zone: "utc" | "local";
  height: number;
}

const FONT = "12px system-ui";

export interface Chart {
  /** Shows newer numbers of the same series; what is under the pointer stays. */
  update: (times: number[], series: Series[]) => void;
  remove: () => void;
}

/** Draws into an element. Colours are those of the theme at this moment. */
export function draw(into: HTMLElement, { times, series, zone, height }: Drawn): Chart {
  let shown = series;
  const style = getComputedStyle(into);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const axis: uPlot.Axis = { stroke: colour("muted"), font: FONT, grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 } };
  const plot = new uPlot(
    {
      width: Math.max(1, into.clientWidth), height, ms: 1,
      ...(zone === "utc" ? { tzDate: (at: number) => uPlot.tzDate(new Date(at), "Etc/UTC") } : {}),
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { y: { range: (_, __, most) => [0, Math.max(1, most)] } },
      axes: [{ ...axis, space: 64, size: 28, values: (_, at) => at.map((each) => moment(each, at, zone)) }, { ...axis, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000], values: (_, at) => at.map(count) }],
      legend: { live: true },
      series: [
        { label: zone === "utc" ? "UTC" : "Time", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
        // The highest of a stack is drawn first, the others over it.
        ...[...series].reverse().map((each, index): uPlot.Series => ({
          label: each.name, stroke: colour(each.colour), fill: colour(each.colour), width: 0,
          paths: uPlot.paths.bars!({ size: [0.8, 64] }), points: { show: false },
          value: (_, __, ___, at) => (at === null ? "–" : count(shown.at(-1 - index)?.values[at] ?? 0)),
        })),
      ],
    },
    [times, ...stacked(series).reverse()],
    into,
  );
  const sized = new ResizeObserver(() => plot.setSize({ width: Math.max(1, into.clientWidth), height }));
  sized.observe(into);
  return {
    update: (nextTimes, next) => {
      shown = next;
      plot.setData([nextTimes, ...stacked(next).reverse()]);
    },
    remove: () => {
      sized.disconnect();
      plot.destroy();
    },
  };
}

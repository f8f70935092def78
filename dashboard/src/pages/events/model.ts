// Events: from the filter line to a request, and the bounded buffer of the live tail. Pure.

import type { Schemas } from "../../api/client";
import { moment, terms } from "../../parts/filter";
import { jsonFault } from "../../parts/jsonText";

export type Event = Schemas["Event"];

/** The query of `GET /api/v1/events` for a filter line, and what of the line it could not use. */
export function query(line: string, now: number): { query: Record<string, string>; faults: string[] } {
  const asked: Record<string, string> = {};
  const faults: string[] = [];
  const texts: string[] = [];
  for (const { name, value } of terms(line)) {
    if (name === "") texts.push(value);
    else if (name === "name") asked["names"] = value;
    else if (name === "source") asked["source"] = value;
    else if (name === "since" || name === "until") {
      const at = moment(value, now);
      if (at) asked[name] = at;
      else faults.push(`${name}:${value} is no time; write 1h, 30m, 7d or 2026-01-31T12:00Z`);
    } else faults.push(`${name}: is not known; use name, source, since, until or a text of the data`);
  }
  if (texts.length > 0) asked["search"] = texts.join(" ");
  return { query: asked, faults };
}

export interface Tailed {
  id: string;
  name: string;
  data: unknown;
  at: string;
}
/** How many events the tail keeps. Only those in sight are drawn. */
export const TAIL_MAX = 1000;

/** The tail with newer events at the top. dropped: how many old ones it has left out so far. */
export function tail(before: { events: Tailed[]; dropped: number }, newer: Tailed[]): { events: Tailed[]; dropped: number } {
  const all = [...newer.toReversed(), ...before.events];
  return { events: all.slice(0, TAIL_MAX), dropped: before.dropped + Math.max(0, all.length - TAIL_MAX) };
}

/** Data as one line for a row. */
export function oneLine(data: unknown, most = 300): string {
  const text = JSON.stringify(data) ?? "";
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

/** Why an emit form cannot be sent; empty when it can. */
export function fault(name: string, data: string): string {
  if (!name.trim()) return "An event has a name, such as order.placed.";
  return jsonFault(data, "data");
}

// The map of events, functions, topics and groups as observed: its nodes, its links, and where they are drawn. Pure.

export type Kind = "event" | "function" | "topic" | "group";
export interface Thing {
  kind: Kind;
  name: string;
}
/** count: how often among the newest runs and events; failed: how many of the runs failed. */
export interface Flow {
  from: Thing;
  to: Thing;
  count: number;
  failed: number;
}
export interface Seen extends Thing {
  count: number;
}
export interface Group {
  name: string;
  namespace: string;
  pattern: string;
}
export interface Box extends Thing {
  id: string;
  x: number;
  y: number;
  href: string;
  note: string;
}
export interface Link {
  key: string;
  path: string;
  /** Width of the line, by how much flows. */
  width: number;
  failed: boolean;
  title: string;
}
export interface Drawn {
  boxes: Box[];
  links: Link[];
  width: number;
  height: number;
  /** Things that are left out because the map would be too large. */
  left: number;
}

export const BOX = { width: 190, height: 40, gapX: 90, gapY: 14 };
export const BOXES_MAX = 200;
export const LABELS: Record<Kind, string> = { event: "event", function: "function", topic: "topic", group: "group" };
const PAGES: Record<Kind, string> = { event: "events", function: "functions", topic: "topics", group: "groups" };

export const idOf = (thing: Thing): string => `${thing.kind} ${thing.name}`;

/** Whether a name fits a pattern, where `*` is one part and `>` the rest. */
export function fits(pattern: string, name: string): boolean {
  const [wanted, given] = [pattern.split("."), name.split(".")];
  for (const [index, part] of wanted.entries()) {
    if (part === ">") return given.length > index;
    if (part !== "*" && part !== given[index]) return false;
    if (given[index] === undefined) return false;
  }
  return wanted.length === given.length;
}

/** The flows with those from topics and events to the groups that read them. */
export function withGroups(flows: Flow[], seen: Seen[], groups: Group[]): Flow[] {
  const read = groups.flatMap((group) => {
    const isTopic = group.pattern.startsWith("topic:");
    const pattern = isTopic ? group.pattern.slice("topic:".length) : group.pattern;
    return seen
      .filter((each) => (each.kind === "topic") === isTopic && fits(pattern, each.name))
      .map((each) => ({ from: { kind: each.kind, name: each.name }, to: { kind: "group" as const, name: group.name }, count: each.count, failed: 0 }));
  });
  return [...flows, ...read];
}

/** The flows that lead to or from things whose name holds a text, over any number of links; all for an empty one. */
export function around(flows: Flow[], text: string): Flow[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return flows;
  const start = new Set(flows.flatMap((flow) => [flow.from, flow.to]).filter((thing) => thing.name.toLowerCase().includes(wanted)).map(idOf));
  const reach = (from: (flow: Flow) => string, to: (flow: Flow) => string) => {
    const found = new Set(start);
    for (let before = -1; before < found.size; ) {
      before = found.size;
      for (const flow of flows) if (found.has(from(flow))) found.add(to(flow));
    }
    return found;
  };
  const [on, back] = [reach((flow) => idOf(flow.from), (flow) => idOf(flow.to)), reach((flow) => idOf(flow.to), (flow) => idOf(flow.from))];
  return flows.filter((flow) => (on.has(idOf(flow.from)) && on.has(idOf(flow.to))) || (back.has(idOf(flow.from)) && back.has(idOf(flow.to))));
}

/** How far each thing is from the beginning: the longest way without going round. */
function levels(ids: string[], flows: Flow[]): Map<string, number> {
  const next = new Map<string, string[]>();
  for (const flow of flows) next.set(idOf(flow.from), [...(next.get(idOf(flow.from)) ?? []), idOf(flow.to)]);
  // Depth first: a link to a thing that is being visited closes a circle, and has no say in the order.
  const state = new Map<string, "open" | "done">();
  const order: string[] = [];
  const kept: [string, string][] = [];
  const visit = (id: string): void => {
    state.set(id, "open");
    for (const to of next.get(id) ?? []) {
      if (state.get(to) === "open") continue;
      kept.push([id, to]);
      if (!state.has(to)) visit(to);
    }
    state.set(id, "done");
    order.unshift(id);
  };
  const entered = new Set(flows.map((flow) => idOf(flow.to)));
  for (const id of [...ids.filter((each) => !entered.has(each)), ...ids]) if (!state.has(id)) visit(id);
  const level = new Map(ids.map((id) => [id, 0]));
  const out = new Map<string, string[]>();
  for (const [from, to] of kept) out.set(from, [...(out.get(from) ?? []), to]);
  for (const id of order) for (const to of out.get(id) ?? []) level.set(to, Math.max(level.get(to) ?? 0, (level.get(id) ?? 0) + 1));
  return level;
}

/** Boxes from cause to effect, a column a level; within one, each near to what leads to it. */
export function drawn(flows: Flow[], seen: Seen[]): Drawn {
  const counts = new Map(seen.map((each) => [idOf(each), each.count]));
  const all = [...new Map(flows.flatMap((flow) => [flow.from, flow.to]).map((thing) => [idOf(thing), thing])).values()];
  const things = all.slice(0, BOXES_MAX);
  const ids = things.map(idOf);
  const known = new Set(ids);
  const links = flows.filter((flow) => known.has(idOf(flow.from)) && known.has(idOf(flow.to)));
  const level = levels(ids, links);
  const columns: Thing[][] = [];
  for (const thing of things) (columns[level.get(idOf(thing)) ?? 0] ??= []).push(thing);
  const line = new Map<string, number>();
  for (const column of columns) {
    const pull = new Map(column.map((thing) => {
      const from = links.filter((flow) => idOf(flow.to) === idOf(thing)).map((flow) => line.get(idOf(flow.from))).filter((each) => each !== undefined);
      return [thing, from.length > 0 ? from.reduce((sum, each) => sum + each, 0) / from.length : Infinity];
    }));
    column.sort((a, b) => pull.get(a)! - pull.get(b)! || a.name.localeCompare(b.name)).forEach((thing, index) => line.set(idOf(thing), index));
  }
  const place = (thing: Thing) => ({ x: (level.get(idOf(thing)) ?? 0) * (BOX.width + BOX.gapX), y: (line.get(idOf(thing)) ?? 0) * (BOX.height + BOX.gapY) });
  return {
    boxes: things.map((thing) => ({ ...thing, ...place(thing), id: idOf(thing), href: hrefOf(thing), note: noteOf(thing, counts, links) })),
    links: links.map((flow) => linkOf(flow, place(flow.from), place(flow.to))),
    width: columns.length * (BOX.width + BOX.gapX) - BOX.gapX,
    height: Math.max(0, ...columns.map((column) => column.length)) * (BOX.height + BOX.gapY),
    left: all.length - things.length,
  };
}

function linkOf(flow: Flow, from: { x: number; y: number }, to: { x: number; y: number }): Link {
  const [x1, y1, y2] = [from.x + BOX.width, from.y + BOX.height / 2, to.y + BOX.height / 2];
  const bend = BOX.gapX / 2;
  // A link back to an earlier column goes out and comes in below.
  const path = to.x > from.x
    ? `M${x1} ${y1}C${x1 + bend} ${y1} ${to.x - bend} ${y2} ${to.x} ${y2}`
    : `M${x1} ${y1 + 6}C${x1 + bend} ${y1 + BOX.height} ${to.x - bend} ${y2 + BOX.height} ${to.x} ${y2 + 6}`;
  return { key: `${idOf(flow.from)} ${idOf(flow.to)}`, path, width: 1 + Math.min(4, Math.log10(Math.max(1, flow.count))), failed: flow.failed > 0, title: sentence(flow) };
}

/** A link as a sentence, such as `order.placed started process-order 16 times, 3 failed`. */
export function sentence(flow: Flow): string {
  const verb = flow.to.kind === "group" ? "is read by" : flow.to.kind === "topic" ? "published to" : flow.to.kind === "event" ? "emitted" : flow.from.kind === "function" ? "invoked" : "started";
  const often = flow.count === 1 ? "once" : `${flow.count.toLocaleString("en-US")} times`;
  return `${flow.from.name} ${verb} ${flow.to.name}${flow.to.kind === "group" ? "" : ` ${often}`}${flow.failed > 0 ? `, ${flow.failed.toLocaleString("en-US")} failed` : ""}`;
}

/** What stands below the name of a box: how often it was seen, or how many runs it had. */
function noteOf(thing: Thing, counts: Map<string, number>, links: Flow[]): string {
  if (thing.kind === "group") return "group";
  const count = thing.kind === "function" ? links.filter((flow) => idOf(flow.to) === idOf(thing)).reduce((sum, flow) => sum + flow.count, 0) : counts.get(idOf(thing));
  const failed = thing.kind === "function" ? links.filter((flow) => idOf(flow.to) === idOf(thing)).reduce((sum, flow) => sum + flow.failed, 0) : 0;
  const text = count === undefined ? LABELS[thing.kind] : thing.kind === "function" ? `${count.toLocaleString("en-US")} ${count === 1 ? "run" : "runs"}` : `${LABELS[thing.kind]}, ${count.toLocaleString("en-US")}`;
  return failed > 0 ? `${text}, ${failed.toLocaleString("en-US")} failed` : text;
}

function hrefOf(thing: Thing): string {
  // An event has no page of its own: its name is a filter.
  if (thing.kind === "event") return `/events?${new URLSearchParams({ filter: `name:${thing.name}` }).toString()}`;
  return `/${PAGES[thing.kind]}/${encodeURIComponent(thing.name)}`;
}

// Causation as a graph: events and the runs that they started, runs and the events that they emitted. Pure.

export interface Node {
  id: string;
  kind: "event" | "run";
  /** The name of an event, the function of a run. */
  title: string;
  status: string;
  /** What it follows from; empty at the beginning. */
  parent: string;
}
export interface Placed extends Node {
  x: number;
  y: number;
}
export interface Edge {
  key: string;
  path: string;
}
export interface Drawn {
  nodes: Placed[];
  edges: Edge[];
  width: number;
  height: number;
}

/** How many things a graph shows, and how far it looks in each direction. */
export const NODES_MAX = 150;
export const LEVELS_MAX = 8;
export const BOX = { width: 190, height: 30, gapX: 50, gapY: 10 };

/** Ids that may stand in a query: letters, digits and `_`. */
export function quoted(ids: string[]): string {
  return ids.filter((id) => /^\w+$/.test(id)).map((id) => `'${id}'`).join(", ");
}

/** Places a tree from left to right: a column a level, leaves below one another, parents beside the first of theirs. */
export function drawn(nodes: Node[]): Drawn {
  const shown = nodes.slice(0, NODES_MAX);
  const known = new Set(shown.map((node) => node.id));
  const children = new Map<string, Node[]>();
  for (const node of shown) {
    const parent = known.has(node.parent) ? node.parent : "";
    children.set(parent, [...(children.get(parent) ?? []), node]);
  }
  const placed: Placed[] = [];
  const edges: Edge[] = [];
  let line = 0;
  let deepest = 0;
  const place = (node: Node, depth: number, from: Placed | undefined): void => {
    const at: Placed = { ...node, x: depth * (BOX.width + BOX.gapX), y: line * (BOX.height + BOX.gapY) };
    placed.push(at);
    deepest = Math.max(deepest, depth);
    if (from) {
      const [x1, y1, y2] = [from.x + BOX.width, from.y + BOX.height / 2, at.y + BOX.height / 2];
      edges.push({ key: `${from.id} ${node.id}`, path: `M${x1} ${y1}C${x1 + BOX.gapX / 2} ${y1} ${at.x - BOX.gapX / 2} ${y2} ${at.x} ${y2}` });
    }
    const own = children.get(node.id) ?? [];
    own.forEach((child, index) => {
      if (index > 0) line += 1;
      place(child, depth + 1, at);
    });
  };
  (children.get("") ?? []).forEach((root, index) => {
    if (index > 0) line += 1;
    place(root, 0, undefined);
  });
  return { nodes: placed, edges, width: deepest * (BOX.width + BOX.gapX) + BOX.width, height: line * (BOX.height + BOX.gapY) + BOX.height };
}

// Loads what led to an event and what it led to: levels of runs and events, a query each.

import { ask } from "../../api/client";
import { LEVELS_MAX, NODES_MAX, quoted, type Node } from "./graph";

type Row = [string, string, string, string];

async function rows(query: string, signal: AbortSignal): Promise<Row[]> {
  return (await ask("post", "/api/v1/sql", { body: { query, max_rows: NODES_MAX }, signal })).rows as Row[];
}

const EVENTS = "SELECT id, name, '' AS status, coalesce(run_id, emitted_by, '') AS parent FROM events";
const RUNS = "SELECT id, function_id, status, event_id AS parent FROM runs";
const CHILDREN = "SELECT id, function_id, status, parent_run_id AS parent FROM runs";
const made = (kind: Node["kind"], all: Row[]): Node[] => all.map(([id, title, status, parent]) => ({ id, kind, title, status, parent }));

/** The nodes of the graph, the earliest first. Raises Failure, as for a key that may not query. */
export async function causation(id: string, signal: AbortSignal): Promise<Node[]> {
  const found = made("event", await rows(`${EVENTS} WHERE id IN (${quoted([id])})`, signal));
  // Back: the run that emitted it, the event that started that run, and so on.
  for (let level = 0; level < LEVELS_MAX && found[0]?.parent.match(/^(?:run|evt)_/); level += 1) {
    const { parent } = found[0];
    const isRun = parent.startsWith("run_");
    const [before] = made(isRun ? "run" : "event", await rows(`${isRun ? RUNS : EVENTS} WHERE id IN (${quoted([parent])})`, signal));
    if (!before) break;
    found.unshift(before);
  }
  // On: the runs that events started, the events that runs emitted and the runs that they invoked.
  let last = found.filter((node) => node.id === id);
  for (let level = 0; level < LEVELS_MAX && last.length > 0 && found.length < NODES_MAX; level += 1) {
    const [events, runs] = (["event", "run"] as const).map((kind) => quoted(last.filter((node) => node.kind === kind).map((node) => node.id)));
    const parts = await Promise.all([
      events ? rows(`${RUNS} WHERE event_id IN (${events}) AND parent_run_id IS NULL`, signal).then((all) => made("run", all)) : [],
      runs ? rows(`${EVENTS} WHERE run_id IN (${runs})`, signal).then((all) => made("event", all)) : [],
      runs ? rows(`${CHILDREN} WHERE parent_run_id IN (${runs})`, signal).then((all) => made("run", all)) : [],
    ]);
    last = parts.flat().filter((node) => !found.some((each) => each.id === node.id));
    found.push(...last);
  }
  return found;
}

// What the page of one entity loads: its info, its events by pages, and the snapshot below a version.

import { ask, Failure, type Asked } from "../../api/client";
import { spelled } from "../../api/spelling";
import { FOLD_MAX, type Snapshot, type StreamEvent } from "./model";

const PAGE = 500;

export async function snapshotAt(id: string, version: number, signal: AbortSignal): Promise<Snapshot | undefined> {
  try {
    return spelled(await ask("get", "/api/v1/streams/{entity_id}/snapshot", { path: { entity_id: id }, query: { before_version: version }, signal }));
  } catch (error) {
    if (error instanceof Failure && error.status === 404) return undefined;
    throw error;
  }
}

async function page(id: string, query: Asked["query"], signal?: AbortSignal) {
  const found = spelled(await ask("get", "/api/v1/streams/{entity_id}/events", { path: { entity_id: id }, query: query ?? {}, ...(signal ? { signal } : {}) }));
  return { events: found.events.map((event) => spelled(event)), next: found.next_version ?? undefined };
}

/** Events from a version to another, oldest first; at most FOLD_MAX. */
export async function eventsBetween(id: string, from: number, until: number, signal: AbortSignal): Promise<StreamEvent[]> {
  const events: StreamEvent[] = [];
  let next: number | undefined = Math.max(1, from);
  while (next !== undefined && next <= until && events.length < FOLD_MAX) {
    const found = await page(id, { from_version: next, limit: Math.min(PAGE, until - next + 1) }, signal);
    events.push(...found.events);
    next = found.next;
  }
  return events;
}

/** Events before and at a version, newest first, and from which version the next page goes on. */
export async function newestEvents(id: string, from: number | undefined, limit: number): Promise<{ events: StreamEvent[]; next: number | undefined }> {
  return page(id, { from_version: from, limit, direction: "backward" });
}

// One WebSocket for the whole dashboard. Views listen to patterns; it reconnects by itself and says since when it is away.

import { ask, Failure } from "../api/client";
import { session } from "../shell/session.svelte";
import { settings } from "../shell/settings.svelte";

export interface LiveEvent {
  topic: string;
  data: unknown;
  eventId?: string;
  meta?: { timestamp: string; sequence?: number };
}
type Listener = (event: LiveEvent) => void;
interface Frame {
  type: string;
  results?: { pattern: string; status: string; subscriptionId?: string; message?: string }[];
  subscriptionId?: string;
  topic?: string;
  data?: unknown;
  eventId?: string;
  meta?: LiveEvent["meta"];
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

class Live {
  state = $state<"connecting" | "live" | "away">("connecting");
  /** Rises with each connection: views load anew what they may have missed. */
  connections = $state(0);
  awaySince = $state(0);
  /** The server answers requests but not this socket, such as for a key that may not subscribe. */
  refused = $state(false);
  private socket: WebSocket | undefined;
  private waitMs = FIRST_WAIT_MS;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private looking = false;
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly replays = new Map<string, number>();
  private readonly patterns = new Map<string, string>();

  /** Calls `listener` with every event of `pattern` until the returned function is called. replay: recorded ones before them. */
  listen(pattern: string, listener: Listener, replay = 0): () => void {
    if (replay > 0) this.replays.set(pattern, replay);
    const already = this.listeners.get(pattern);
    const set = already ?? new Set<Listener>();
    set.add(listener);
    if (!already) {
      this.listeners.set(pattern, set);
      if (!this.socket) this.connect();
      else if (this.socket.readyState === WebSocket.OPEN) this.subscribe(pattern);
    }
    return () => {
      set.delete(listener);
      if (set.size === 0 && this.listeners.get(pattern) === set) this.forget(pattern);
    };
  }

  /** Closes and connects again at once, as after a log-in. */
  restart(): void {
    this.waitMs = FIRST_WAIT_MS;
    if (this.socket?.readyState === WebSocket.CLOSED) this.connect();
    else this.socket?.close();
  }

  private connect(): void {
    clearTimeout(this.timer);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    // A browser cannot send headers with a socket.
    const query = new URLSearchParams({ env: settings.environment, ...(session.key ? { token: session.key } : {}) });
    const socket = new WebSocket(`${scheme}://${location.host}/ws?${query.toString()}`);
    let opened = false;
    this.socket = socket;
    socket.onopen = () => {
      opened = true;
      this.refused = false;
      this.state = "live";
      this.awaySince = 0;
      this.waitMs = FIRST_WAIT_MS;
      this.connections += 1;
      this.patterns.clear();
      for (const pattern of this.listeners.keys()) this.subscribe(pattern);
    };
    socket.onmessage = (message) => this.receive(JSON.parse(String(message.data)) as Frame);
    socket.onclose = () => {
      this.awaySince ||= Date.now();
      this.state = "away";
      if (!opened) void this.look();
      this.timer = setTimeout(() => this.connect(), this.waitMs);
      this.waitMs = Math.min(this.waitMs * 1.7, LONGEST_WAIT_MS);
    };
  }

  /** Finds out why the socket does not open: a browser does not show it. A refused key opens the log-in. */
  private async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    try {
      await ask("get", "/api/v1/info");
      this.refused = this.state === "away";
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.refused = !error.unknown && error.status < 500 && this.state === "away";
    } finally {
      this.looking = false;
    }
  }

  private subscribe(pattern: string): void {
    this.socket?.send(JSON.stringify({ type: "subscribe", subscription: { pattern, options: { includeMetadata: true, replay: this.replays.get(pattern) ?? 0 } } }));
  }

  private forget(pattern: string): void {
    this.listeners.delete(pattern);
    this.replays.delete(pattern);
    for (const [id, subscribed] of this.patterns) {
      if (subscribed !== pattern) continue;
      this.patterns.delete(id);
      if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "unsubscribe", subscriptionId: id }));
    }
  }

  private receive(frame: Frame): void {
    if (frame.type === "subscription_result") {
      for (const result of frame.results ?? []) if (result.subscriptionId) this.patterns.set(result.subscriptionId, result.pattern);
      return;
    }
    if (frame.type !== "event" || frame.topic === undefined) return;
    const pattern = this.patterns.get(frame.subscriptionId ?? "");
    const event: LiveEvent = { topic: frame.topic, data: frame.data, ...(frame.eventId ? { eventId: frame.eventId } : {}), ...(frame.meta ? { meta: frame.meta } : {}) };
    for (const listener of this.listeners.get(pattern ?? "") ?? []) listener(event);
  }
}

export const live = new Live();

/** Calls `act` at most every 100 ms, however often the returned function is called; the last call is never lost. */
export function gathered(act: () => void, everyMs = 100): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      act();
    }, everyMs);
  };
}

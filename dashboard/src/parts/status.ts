// How each status of a run or step looks: shape, word and colour. Source: the table of statuses in the dashboard's design.

export interface Look {
  shape: string;
  word: string;
  colour: "good" | "bad" | "warn" | "busy" | "rest" | "muted";
}

const LOOKS: Record<string, Look> = {
  queued: { shape: "○", word: "queued", colour: "muted" },
  pending: { shape: "○", word: "queued", colour: "muted" },
  active: { shape: "●", word: "active", colour: "good" },
  ended: { shape: "■", word: "ended", colour: "muted" },
  running: { shape: "◐", word: "running", colour: "busy" },
  waiting: { shape: "◌", word: "waiting", colour: "rest" },
  sleeping: { shape: "◌", word: "waiting", colour: "rest" },
  paused: { shape: "‖", word: "paused", colour: "warn" },
  completed: { shape: "✓", word: "completed", colour: "good" },
  failed: { shape: "✕", word: "failed", colour: "bad" },
  timed_out: { shape: "✕", word: "timed out", colour: "bad" },
  cancelling: { shape: "⊘", word: "cancelling", colour: "warn" },
  cancelled: { shape: "⊘", word: "cancelled", colour: "muted" },
};

/** The look of a status; of one that is not known, its own word. */
export function look(status: string): Look {
  return LOOKS[status] ?? { shape: "·", word: status, colour: "muted" };
}

/** The state that a run is in, out of what the API gives: `state` where it is there, else `status`. */
export function stateOf(run: { status: string; state?: string | null | undefined }): string {
  return run.state?.split(":")[0] || run.status;
}

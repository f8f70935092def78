// How each status of a run or step looks: shape, label and colour. Source: the table of statuses in the dashboard's design.

export interface Look {
  shape: string;
  label: string;
  colour: "good" | "bad" | "warn" | "busy" | "rest" | "muted";
}

const LOOKS: Record<string, Look> = {
  queued: { shape: "○", label: "queued", colour: "muted" },
  pending: { shape: "○", label: "queued", colour: "muted" },
  active: { shape: "●", label: "active", colour: "good" },
  ended: { shape: "■", label: "ended", colour: "muted" },
  running: { shape: "◐", label: "running", colour: "busy" },
  waiting: { shape: "◌", label: "waiting", colour: "rest" },
  sleeping: { shape: "◌", label: "waiting", colour: "rest" },
  paused: { shape: "‖", label: "paused", colour: "warn" },
  completed: { shape: "✓", label: "completed", colour: "good" },
  failed: { shape: "✕", label: "failed", colour: "bad" },
  timed_out: { shape: "✕", label: "timed out", colour: "bad" },
  cancelling: { shape: "⊘", label: "cancelling", colour: "warn" },
  cancelled: { shape: "⊘", label: "cancelled", colour: "muted" },
};

/** The look of a status; of one that is not known, its own name. */
export function look(status: string): Look {
  return LOOKS[status] ?? { shape: "·", label: status, colour: "muted" };
}

/** The state that a run is in, out of what the API gives: `state` where it is there, else `status`. */
export function stateOf(run: { status: string; state?: string | null | undefined }): string {
  return run.state?.split(":")[0] || run.status;
}

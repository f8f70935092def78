// The audit trail: from the filter line to a request, and one entry as a line. Pure.

import type { Schemas } from "../../api/client";
import { moment, terms } from "../../parts/filter";

export type Entry = Schemas["AuditEvent"];

/** The query of `GET /api/v1/audit` for a filter line, and what of the line it could not use. */
export function query(line: string, now: number): { query: Record<string, string>; faults: string[] } {
  const asked: Record<string, string> = {};
  const faults: string[] = [];
  const names: Record<string, string> = { run: "run_id", function: "function_id", type: "event_type", key: "api_key_id" };
  const times: Record<string, string> = { since: "from_timestamp", until: "to_timestamp" };
  for (const { name, value } of terms(line)) {
    const [field, time] = [names[name], times[name]];
    if (field) asked[field] = value;
    else if (time) {
      const at = moment(value, now);
      if (at) asked[time] = at;
      else faults.push(`${name}:${value} is no time; write 1h, 30m, 7d or 2026-01-31T12:00Z`);
    } else faults.push(`${name || value}: is not known; use run, function, type, key, since or until`);
  }
  return { query: asked, faults };
}

/** The payload of an entry as a line: what it was and what it became, else what it holds. */
export function summary(entry: Entry): string {
  const payload = (entry.payload ?? {}) as Record<string, unknown>;
  const { summary: text, old_status, new_status, error, reason } = payload as { summary?: string; old_status?: string; new_status?: string; error?: { message?: string }; reason?: string };
  if (text) return text;
  const parts = [old_status && new_status ? `${old_status} → ${new_status}` : (new_status ?? ""), error?.message ?? "", reason ?? ""].filter(Boolean);
  return parts.join(": ") || JSON.stringify(payload).slice(0, 300);
}

/** Who did it; empty for what the server does by itself. */
export function actor(entry: Entry): string {
  return entry.metadata?.["actor"] ?? "";
}

/** What allowed or refused it, and from where it came, as lines. */
export function grounds(entry: Entry): string {
  const { rule, address, key } = (entry.payload ?? {}) as Record<string, unknown>;
  return Object.entries({ rule, address, key }).filter(([, value]) => typeof value === "string" && value).map(([name, value]) => `${name}: ${value as string}`).join("\n");
}

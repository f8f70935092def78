// The filter line: `status:failed function:process-order since:1h error:"card declined" text`. Pure.

export interface Term {
  /** Empty for a bare text. */
  name: string;
  value: string;
}

/** The terms of a line, in order. Values with spaces stand in double quotes. */
export function terms(line: string): Term[] {
  const found: Term[] = [];
  for (const match of line.matchAll(/(?:([A-Za-z_]+):)?(?:"([^"]*)"|(\S+))/g)) {
    found.push({ name: match[1] ?? "", value: match[2] ?? match[3] ?? "" });
  }
  return found.filter((term) => term.value !== "");
}

/** The line of terms: what `terms` reads back. */
export function line(all: Term[]): string {
  return all.map(({ name, value }) => (name ? `${name}:` : "") + (/\s/.test(value) ? `"${value}"` : value)).join(" ");
}

const SPANS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** The moment that `1h`, `30m` or an ISO 8601 text names, as RFC 3339; undefined for anything else. */
export function moment(value: string, now: number): string | undefined {
  const span = /^(\d+)([smhdw])$/.exec(value);
  if (span) return new Date(now - Number(span[1]) * SPANS[span[2]!]!).toISOString();
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : new Date(at).toISOString();
}

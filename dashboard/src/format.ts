// How values look everywhere: spans, moments, sizes, counts, ids. Pure.

/** A span as people read it: `31 ms`, `4.6 s`, `2 m 10 s`, `2 h 13 m`, `3 d 4 h`, `1 y 90 d`. */
export function span(ms: number): string {
  if (ms < 0) return `-${span(-ms)}`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 && ms % 1000 !== 0 ? 1 : 0)} s`;
  const units: [string, number][] = [["y", 31_536_000_000], ["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1000]];
  const first = units.findIndex(([, size]) => ms >= size);
  const [name, size] = units[first]!;
  const whole = Math.floor(ms / size);
  const next = units[first + 1];
  const rest = next ? Math.floor((ms - whole * size) / next[1]) : 0;
  return next && rest > 0 ? `${whole} ${name} ${rest} ${next[0]}` : `${whole} ${name}`;
}

/** `2 m ago` or `in 23 h`, against now, both in milliseconds since the epoch. */
export function relative(at: number, now: number): string {
  const away = at - now;
  if (Math.abs(away) < 1000) return "now";
  // Whole seconds: tenths of a moment that passes are noise.
  const [first, second] = span(Math.abs(away) < 60_000 ? Math.floor(Math.abs(away) / 1000) * 1000 : Math.abs(away)).replace(/\.0 s$/, " s").split(" ");
  return away < 0 ? `${first} ${second} ago` : `in ${first} ${second}`;
}

/** A moment to the millisecond: ISO 8601 in UTC, or the browser's zone with its offset. */
export function exact(at: number, zone: "utc" | "local"): string {
  const moment = new Date(at);
  if (zone === "utc") return moment.toISOString();
  const offset = -moment.getTimezoneOffset();
  const shifted = new Date(at + offset * 60_000).toISOString().slice(0, -1);
  const pad = (value: number) => String(Math.floor(value)).padStart(2, "0");
  return `${shifted}${offset < 0 ? "-" : "+"}${pad(Math.abs(offset) / 60)}:${pad(Math.abs(offset) % 60)}`;
}

/** `1,234`. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** `512 B`, `1.2 MB`. */
export function bytes(value: number): string {
  const names = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < names.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${names[unit]}`;
}

/** `run_…H3Z9`: the kind and the last four characters. Ids up to 14 characters stay whole. */
export function shortId(id: string): string {
  if (id.length <= 14) return id;
  const kind = /^[a-z]+[_-]/.exec(id)?.[0] ?? "";
  return `${kind}…${id.slice(-4)}`;
}

const MARKED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** A user's text with control and bidirectional characters shown as marks such as `⟨U+202E⟩`. */
export function visible(text: string): string {
  return text.replace(MARKED, (each) => `⟨U+${each.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

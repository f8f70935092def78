// A JSON value as lines that fold. Pure: lines are made only for what is open.

export interface Line {
  depth: number;
  /** Where the value stands, such as `order.items[0]`; also the key of what is open. */
  path: string;
  key: string | undefined;
  kind: "open" | "close" | "value";
  /** The text of a value, or the bracket of a container. */
  text: string;
  /** How many members a container has. */
  size: number;
  isOpen: boolean;
  type: "string" | "number" | "boolean" | "null" | "object" | "array";
}

function typeOf(value: unknown): Line["type"] {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value as Line["type"];
}

/** How many bytes the envelope of a codec holds, which only programs with its key can read; undefined for other values. */
export function encodedBytes(value: unknown): number | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const content = (value as Record<string, unknown>).$encoded;
  if (Object.keys(value).length !== 1 || typeof content !== "string" || content.length % 4 !== 0) return undefined;
  return (content.length / 4) * 3 - (content.endsWith("==") ? 2 : content.endsWith("=") ? 1 : 0);
}

function joined(path: string, key: string | number): string {
  if (typeof key === "number") return `${path}[${key}]`;
  const plain = /^[A-Za-z_$][\w$]*$/.test(key);
  return plain ? (path ? `${path}.${key}` : key) : `${path}[${JSON.stringify(key)}]`;
}

/** The values whose name or text has a text, wherever they are, folded or not; at most `limit`. Texts are compared in lower case. */
export function matches(value: unknown, text: string, limit = 1000): Line[] {
  const out: Line[] = [];
  const low = text.toLowerCase();
  const walk = (each: unknown, path: string, key: string | undefined): void => {
    if (out.length >= limit) return;
    const type = typeOf(each);
    const bytes = encodedBytes(each);
    const isLeaf = (type !== "object" && type !== "array") || bytes !== undefined;
    const shown = bytes !== undefined ? `encoded, ${bytes} bytes` : isLeaf ? JSON.stringify(each ?? null) : "";
    if ((key ?? "").toLowerCase().includes(low) || (isLeaf && shown.toLowerCase().includes(low))) {
      const size = isLeaf ? 0 : Array.isArray(each) ? each.length : Object.keys(each as object).length;
      out.push({ depth: 0, path, key: path || key, kind: isLeaf ? "value" : "open", text: shown, size, isOpen: false, type: bytes !== undefined ? "null" : type });
    }
    if (isLeaf) return;
    if (Array.isArray(each)) each.forEach((item, index) => walk(item, joined(path, index), undefined));
    else for (const [name, member] of Object.entries(each as object)) walk(member, joined(path, name), name);
  };
  walk(value, "", undefined);
  return out;
}

/** The lines to show. isOpen: whether the container at a path and depth is open. At most `limit` lines. */
export function lines(value: unknown, isOpen: (path: string, depth: number) => boolean, limit = 50_000): Line[] {
  const out: Line[] = [];
  const walk = (each: unknown, path: string, key: string | undefined, depth: number): void => {
    if (out.length >= limit) return;
    const type = typeOf(each);
    const bytes = encodedBytes(each);
    if (bytes !== undefined) {
      out.push({ depth, path, key, kind: "value", text: `encoded, ${bytes} bytes`, size: 0, isOpen: false, type: "null" });
      return;
    }
    if (type !== "object" && type !== "array") {
      out.push({ depth, path, key, kind: "value", text: JSON.stringify(each ?? null), size: 0, isOpen: false, type });
      return;
    }
    const members: [string | number, unknown][] = Array.isArray(each) ? each.map((item, index) => [index, item]) : Object.entries(each as object);
    const open = members.length > 0 && isOpen(path, depth);
    out.push({ depth, path, key, kind: "open", text: type === "array" ? "[" : "{", size: members.length, isOpen: open, type });
    if (!open) return;
    for (const [name, member] of members) walk(member, joined(path, name), typeof name === "string" ? name : undefined, depth + 1);
    out.push({ depth, path, key: undefined, kind: "close", text: type === "array" ? "]" : "}", size: 0, isOpen: true, type });
  };
  walk(value, "", undefined, 0);
  return out;
}

// The structural difference of two JSON values. Pure.

export interface Change {
  /** Such as `order.items[0].price`; empty for the value itself. */
  path: string;
  kind: "added" | "removed" | "changed";
  before: unknown;
  after: unknown;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** The changes in the order of the values' members; at most `limit` of them. */
export function difference(before: unknown, after: unknown, limit = 500): Change[] {
  const found: Change[] = [];
  const walk = (left: unknown, right: unknown, path: string): void => {
    if (found.length >= limit || Object.is(left, right)) return;
    if (isObject(left) && isObject(right)) {
      for (const name of new Set([...Object.keys(left), ...Object.keys(right)])) walk(left[name], right[name], path ? `${path}.${name}` : name);
    } else if (Array.isArray(left) && Array.isArray(right)) {
      for (let index = 0; index < Math.max(left.length, right.length); index += 1) walk(left[index], right[index], `${path}[${index}]`);
    } else found.push({ path, kind: left === undefined ? "added" : right === undefined ? "removed" : "changed", before: left, after: right });
  };
  walk(before, after, "");
  return found;
}

// JSON that is typed: whether it is JSON, and whether a browser can send it unchanged. Pure.

/** A number that `JSON.parse` has rounded, or that is infinite; undefined where all are exact. Fractions are as exact as in any program. */
export function inexact(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value)) ? undefined : value;
  if (typeof value !== "object" || value === null) return undefined;
  for (const each of Object.values(value)) {
    const found = inexact(each);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** That a browser cannot hold a number of a value; empty when it can. what: `data`, `input`, `document`. */
export function roundedFault(value: unknown, what: string): string {
  const number = inexact(value);
  return number === undefined ? "" : `A browser cannot hold a number of this ${what} exactly, about ${number.toPrecision(3)}: use a program or the command line.`;
}

/** Why a text cannot be sent as JSON; empty when it can. An empty text is null. what: as of `roundedFault`. */
export function jsonFault(text: string, what: string): string {
  try {
    return roundedFault(JSON.parse(text.trim() || "null"), what);
  } catch (error) {
    return `The ${what} is no JSON: ${(error as Error).message}`;
  }
}

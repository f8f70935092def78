// Config documents: what may be saved. Pure.

import { jsonFault } from "../../parts/jsonText";

/** Why a text is no document; empty when it is one. */
export function fault(text: string): string {
  const broken = jsonFault(text, "document");
  if (broken) return broken;
  const value: unknown = JSON.parse(text.trim() || "null");
  return typeof value === "object" && value !== null && !Array.isArray(value) ? "" : 'A document is a JSON object, such as {"vat": 0.19}.';
}

/** As the editor shows it. */
export function text(data: unknown): string {
  return JSON.stringify(data, null, 2);
}

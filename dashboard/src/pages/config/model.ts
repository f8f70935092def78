// Config documents: what may be saved. Pure.

/** Why a text is no document; empty when it is one. */
export function fault(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? "" : 'A document is a JSON object, such as {"vat": 0.19}.';
  } catch (error) {
    return `This is no JSON: ${(error as Error).message}`;
  }
}

/** As the editor shows it. */
export function text(data: unknown): string {
  return JSON.stringify(data, null, 2);
}

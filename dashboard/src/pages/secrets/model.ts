// Secrets: what a form may send. Values are only ever sent, never shown. Pure.

import type { Schemas } from "../../api/client";

export type Secret = Schemas["Secret"];

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const VALUE_BYTES_MAX = 64 * 1024;

/** Why a form cannot be sent, as a sentence; empty when it can. */
export function fault(name: string, value: string): string {
  if (name !== "" && !NAME.test(name)) return "A name has 1 to 128 letters, digits, _, - and ., with a letter, digit or _ first.";
  const size = new TextEncoder().encode(value).length;
  return size > VALUE_BYTES_MAX ? `The value has ${size} bytes; at most ${VALUE_BYTES_MAX} are kept.` : "";
}

/** How a function names the secret. */
export function usage(name: string): string {
  return `@function("pay", on="order.placed", secrets=[${JSON.stringify(name)}])`;
}

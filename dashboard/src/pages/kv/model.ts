// KV: a value's bytes as what they are, and which condition an edit carries. Pure.

import type { Schemas } from "../../api/client";
import { difference, type Change } from "../../parts/difference";
import { inexact } from "../../parts/jsonText";

export type Entry = Schemas["Entry"];

export interface Value {
  kind: "json" | "text" | "binary";
  /** JSON indented, text as it is, bytes as hexadecimal. */
  text: string;
  json: unknown;
  bytes: number;
}

/** value: in base64. */
export function decoded(value: string): Value {
  const bytes = Uint8Array.from(atob(value), (letter) => letter.charCodeAt(0));
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return { kind: "binary", text: [...bytes.slice(0, 4096)].map((byte) => byte.toString(16).padStart(2, "0")).join(" "), json: undefined, bytes: bytes.length };
  }
  try {
    const json: unknown = JSON.parse(text);
    // A number that a browser would round stays as it is in the text.
    return { kind: "json", text: inexact(json) === undefined ? JSON.stringify(json, null, 2) : text, json, bytes: bytes.length };
  } catch {
    return { kind: "text", text, json: undefined, bytes: bytes.length };
  }
}

/** What changed from an older entry to a newer one; what is no JSON, or has a number that a browser rounds, is compared whole. */
export function changes(older: Entry | undefined, newer: Entry): Change[] {
  const content = (entry: Entry | undefined): unknown => {
    if (!entry || entry.operation !== "put") return undefined;
    const value = decoded(entry.value);
    return value.kind === "json" && inexact(value.json) === undefined ? value.json : value.text;
  };
  return difference(content(older), content(newer));
}

/** The bytes that a form writes: JSON without spaces, unless a browser would round a number of it. */
export function written(text: string): string {
  try {
    const json: unknown = JSON.parse(text);
    return inexact(json) === undefined ? JSON.stringify(json) : text;
  } catch {
    return text;
  }
}

/** An edit replaces only the revision that was read; a new key must not exist. */
export function condition(revision: number | undefined): Record<string, string> {
  return revision === undefined ? { "If-None-Match": "*" } : { "If-Match": String(revision) };
}

export function retention(bucket: Schemas["Bucket"]): string {
  const parts = [(bucket.history ?? 1) > 1 ? `${bucket.history} revisions of a key` : "the newest revision"];
  if (bucket.ttl_seconds) parts.push(`for ${bucket.ttl_seconds} s`);
  return parts.join(", ");
}

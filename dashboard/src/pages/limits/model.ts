// Limits: whom one concerns, and what it allows, as sentences. Pure.

import type { Schemas } from "../../api/client";
import { count } from "../../format";

export type Limit = Schemas["Limit"];

/** `key:ID`, `env:NAME`, `key:*` and `env:*` as a sentence shows them. */
export function whom(subject: string): string {
  if (subject === "key:*") return "every key without a limit of its own";
  if (subject === "env:*") return "every environment without a limit of its own";
  const [kind, ...rest] = subject.split(":");
  return `${kind === "env" ? "environment" : "key"} ${rest.join(":")}`;
}

/** A number of a limit; 0 is none. */
export function most(value: number | undefined): string {
  return value ? count(value) : "no limit";
}

/** Why a subject is none, as a sentence; empty when it is one. */
export function fault(subject: string): string {
  return subject === "" || /^(?:key|env):.+$/.test(subject) ? "" : "A limit is for key:ID, env:NAME, key:* or env:*.";
}

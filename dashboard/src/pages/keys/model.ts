// API keys: whether each is still of use, and the roles that one has. Pure.

import type { Schemas } from "../../api/client";
import { span } from "../../format";

export type Key = Schemas["ApiKey"];
export type Role = Schemas["Role"];

const SOON_MS = 7 * 86_400_000;

/** What is worth knowing of a key's end; empty when there is nothing. */
export function ending(key: Key, now: number): string {
  const parts: string[] = [];
  if (key.expires_at) {
    const left = Date.parse(key.expires_at) - now;
    if (left <= 0) parts.push("expired");
    else if (left < SOON_MS) parts.push(`expires in ${span(left)}`);
  }
  if (key.previous_valid_until && Date.parse(key.previous_valid_until) > now) parts.push(`the key before the rotation works for ${span(Date.parse(key.previous_valid_until) - now)} more`);
  return parts.join("; ");
}

/** Names of roles; the id of one that is not known. */
export function roleNames(key: Key, roles: Role[]): string {
  return key.role_ids.map((id) => roles.find((role) => role.id === id)?.name ?? id).join(", ") || "none: it may do nothing";
}

/** Why a lifetime is none; empty when it is one, or none is wanted. */
export function lifetimeFault(text: string): string {
  return text.trim() === "" || /^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/.test(text.trim()) ? "" : "A lifetime is a number with a unit, such as 90d or 12h.";
}
